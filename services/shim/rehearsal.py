"""A container's whole life, played in the idle zygote with a runtime that isolates nothing.

Shims share what it warmed; warm.py tells why. Its init waits for the end of a fifo that the zygote alone holds open,
so that it ends with the zygote whatever ends that; its root is a mount that nobody else sees.
"""

import json
import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from google.protobuf.message import Message

from protos import typeurl
from protos.containerd.runtime.task.v3 import shim_pb2
from protos.containerd.types import mount_pb2
from protos.containerd.types.runc.options import oci_pb2
from services.shim.container import Container
from services.shim.control import Control
from services.shim.loop import Loop

log = logging.getLogger("rehearsal")

_ROUNDS: Final = 9
"""The interpreter settles on what it caches for a piece of code after eight runs of it."""
_PATIENCE: Final = 5.0
_ID: Final = "rehearsal"
_RUNTIME: Final = """\
#!/bin/sh
for word; do
    case $word in create) create=yes ;; esac
    [ "$last" = --pid-file ] && file=$word
    last=$word
done
[ "$create" ] || exit 0
hold=${0%/*}/hold
{ echo line; echo line >&2; exec 9<>"$hold" 8<"$hold" 9>&-; read -r end <&8; } &
echo $! >"$file"
"""


class _Container(Container):
    async def _clear_away(self) -> None:
        """Never by its control group: that one is our own."""
        await self.task.runtime.delete()
        self.task.runtime.close()


def play(directory: Path, busy: Callable[[], bool]) -> None:
    """Until done, or `busy`, in a new `directory` that is gone afterwards. A failure costs nothing but memory."""
    _remove(directory)
    try:
        directory.mkdir(mode=0o700)
        (directory / "runc").write_text(_RUNTIME)
        (directory / "runc").chmod(0o700)
        os.mkfifo(directory / "hold", 0o600)
        with (directory / "hold").open("r+b", buffering=0):
            for round_ in range(_ROUNDS):
                if busy():
                    return
                _play(directory, directory / str(round_))
    except Exception as error:
        log.info("rehearsal left off error=%s", error)
    finally:
        _remove(directory)


def _play(directory: Path, bundle: Path) -> None:
    bundle.mkdir()
    streams = bundle / "streams.json"
    streams.write_text(json.dumps({
        "socket": str(bundle / "s"), "containerId": _ID, "logDriver": "json-file", "logPath": str(bundle / "log.json"),
    }))
    loop = Loop()
    try:
        loop.run_until(loop.spawn(loop.timeout(_live(loop, bundle, directory / "runc", streams), _PATIENCE)))
    finally:
        loop.close()


async def _live(loop: Loop, bundle: Path, runtime: Path, streams: Path) -> None:
    container = _Container(loop, "rehearsal", _unheard)
    control = Control(loop, container)
    options = oci_pb2.Options(binary_name=str(runtime))
    uri = f"binary:///docker-containerd-shim?streams={streams}"
    rootfs = mount_pb2.Mount(type="tmpfs", source="rehearsal", options=["ro"])
    await container.create(shim_pb2.CreateTaskRequest(
        id=_ID, bundle=str(bundle), rootfs=[rootfs], stdout=uri, stderr=uri, options=typeurl.from_message(options)
    ))
    waiting = loop.spawn(container.wait(""))
    await container.start("")
    container.state("")
    await control.pids()
    await control.kill("", signal.SIGKILL, False)
    await waiting
    await container.delete("")
    await container.processes.drained()


def _unheard(topic: str, event: Message) -> None:
    event.SerializeToString()


def _remove(directory: Path) -> None:
    for parent, directories, files in os.walk(directory, topdown=False):
        for name in files:
            with suppress(OSError):
                (Path(parent) / name).unlink()
        for name in directories:
            with suppress(OSError):
                (Path(parent) / name).rmdir()
    with suppress(OSError):
        directory.rmdir()
