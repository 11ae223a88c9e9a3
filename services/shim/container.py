"""One container of a shim: its init and its execs, behind the verbs of containerd.task.v3.

The wire is api.py's; here are the rules: what may follow what, what is published when, and what an exit waits for.
"""

from collections.abc import Callable

from google.protobuf import any_pb2
from google.protobuf.message import Message

from protos.containerd.runtime.task.v3 import shim_pb2
from protos.containerd.types.task import task_pb2
from services.shim.loop import Loop
from services.shim.reaper import Exit

Publish = Callable[[str, Message], None]
Json = dict[str, object]


class Container:
    """One per shim process; exec id "" is the init process. Raises protos.errdefs errors.

    `publish(topic, event)` queues and never blocks. Made after the fork from a zygote.
    """

    def __init__(self, loop: Loop, namespace: str, publish: Publish) -> None:
        raise NotImplementedError

    @property
    def id(self) -> str:
        """Its id; "" before create."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The init process's pid; 0 before create."""
        raise NotImplementedError

    async def create(self, request: shim_pb2.CreateTaskRequest) -> int:
        """Have the runtime create the container; the init's pid."""
        raise NotImplementedError

    async def start(self, exec_id: str) -> int:
        """Start init or an exec; its pid."""
        raise NotImplementedError

    async def exec(self, request: shim_pb2.ExecProcessRequest) -> None:
        """Register a further process; `start` starts it."""
        raise NotImplementedError

    async def kill(self, exec_id: str, signal: int, everyone: bool) -> None:
        raise NotImplementedError

    async def pause(self) -> None:
        raise NotImplementedError

    async def resume(self) -> None:
        raise NotImplementedError

    async def resize(self, exec_id: str, width: int, height: int) -> None:
        raise NotImplementedError

    async def close_io(self, exec_id: str) -> None:
        """No more input comes from the caller's side."""
        raise NotImplementedError

    async def update(self, resources: Json) -> None:
        """Apply an OCI LinuxResources document."""
        raise NotImplementedError

    async def stats(self) -> any_pb2.Any:
        raise NotImplementedError

    async def pids(self) -> list[task_pb2.ProcessInfo]:
        raise NotImplementedError

    async def wait(self, exec_id: str) -> Exit:
        """Its exit, once announced."""
        raise NotImplementedError

    def state(self, exec_id: str) -> shim_pb2.StateResponse:
        """From memory; never waits."""
        raise NotImplementedError

    async def delete(self, exec_id: str) -> Exit:
        raise NotImplementedError

    async def drained(self) -> None:
        """Return once attached clients have all their output, or do not take it; to be awaited before the shim ends."""
        raise NotImplementedError
