"""A container on the fake runtime."""

import os
import signal
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from protos import typeurl
from protos.containerd.runtime.task.v3 import shim_pb2
from protos.containerd.types.runc.options import oci_pb2
from protos.containerd.types.task import task_pb2
from services.shim.container import Container
from services.shim.control import Control
from services.shim.loop import Loop
from services.shim.reaper import Exit
from tests.fakes.runtime.bundle import PROGRAM, Bundle
from tests.unit.shim.streams.peers import config


class Shim:
    """A container on the fake runtime, and what it published."""

    def __init__(self, loop: Loop, path: Path) -> None:
        self.loop, self.path = loop, path
        self.events: list[tuple[str, Message]] = []
        self.container = Container(loop, "ns", lambda topic, event: self.events.append((topic, event)))
        self.control = Control(loop, self.container)

    async def create(self, *args: str, **fields: Any) -> int:
        self.bundle = Bundle(self.path / "bundle", *args)
        options = oci_pb2.Options(binary_name=str(PROGRAM), root=str(self.bundle.root))
        request = shim_pb2.CreateTaskRequest(
            id="c1", bundle=str(self.bundle.path), options=typeurl.from_message(options), **fields
        )
        return await self.container.create(request)

    async def run(self, *args: str, **fields: Any) -> Exit:
        await self.create(*args, **fields)
        await self.container.start("")
        return await self.container.wait("")

    async def exec(self, name: str, *args: str, **fields: Any) -> None:
        spec = typeurl.from_json(typeurl.PROCESS, {"args": list(args)})
        await self.container.exec(shim_pb2.ExecProcessRequest(id="c1", exec_id=name, spec=spec, **fields))

    def topics(self) -> list[str]:
        return [topic.removeprefix("/tasks/") for topic, _ in self.events]

    def fifo(self, name: str) -> str:
        os.mkfifo(self.path / name)
        return str(self.path / name)

    def owner(self, **fields: Any) -> str:
        wanted = config(self.path, **fields)
        (self.path / "config.json").write_text(json_format.MessageToJson(wanted))
        return f"binary:///x/docker-containerd-shim?streams={self.path}/config.json"


async def end(container: Container, control: Control) -> None:
    if container.state("").status not in (task_pb2.STOPPED, task_pb2.UNKNOWN):
        await control.kill("", signal.SIGKILL, False)
        await container.wait("")
    if container.state("").status != task_pb2.UNKNOWN:
        await container.delete("")
    await container.processes.drained()
