"""The zygote: a warm process that forks each shim in milliseconds; docker-containerd's only idle child.

It imports everything and runs the code paths once (warm.py), initialises nothing, and owns nothing: requests come by
a socket it inherits (SOCK_SEQPACKET), one JSON object with one descriptor beside it each, `{"action": "start"|"delete",
"namespace": …, "id": …, "address": …, "bundle": …, "debug": …}`; the answer is `{"pid": …}` or `{"error": …}`.
A `start` gets the listener to serve on, a `delete` the pipe its DeleteResponse goes to. The child is the caller's.
"""

import gc
import json
import logging
import os
import select
import signal
import socket
from pathlib import Path
from typing import Any, Final, NoReturn

from protos import sealed, stacks
from services.shim import cleanup, life, linux, rehearsal, warm
from services.shim.config import PROGRAM, Config, command_line
from services.shim.fork import fork_sibling
from services.shim.log import setup
from services.shim.title import set_title

log = logging.getLogger("zygote")

_IDLE: Final = 1.0
"""Seconds without a request after which there is time to rehearse."""
_LIMIT: Final = 1 << 16


def main(channel: socket.socket, directory: Path) -> int:
    """Serve until the other end of `channel`, docker-containerd, is gone; `directory` is for a rehearsal."""
    parent = os.getppid()
    linux.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != parent:
        return 0
    setup("info")
    set_title(PROGRAM, "zygote")
    channel.set_inheritable(False)
    life.settle_signals()
    stacks.name(str(directory.with_name("docker-containerd-shim.zygote.stacks.log")))
    warm.run(lambda: _asked(channel, 0))
    _settle()
    try:
        channel.send(b'{"ready": true}')
        if not _asked(channel, _IDLE):
            rehearsal.play(directory, lambda: _asked(channel, 0))
            _settle()
        _serve_all(channel, _seal())
    except BrokenPipeError:
        pass
    return 0


def _asked(channel: socket.socket, seconds: float) -> bool:
    return bool(select.select([channel], [], [], seconds)[0])


def _settle() -> None:
    """What lives now lives as long as the process: the collector of a shim leaves its pages alone."""
    gc.collect()
    gc.freeze()


def _seal() -> sealed.Sealed | None:
    """None where the kernel or the C library cannot do it: shims are larger then."""
    try:
        return sealed.seal()
    except OSError as error:
        log.info("memory is not sealed error=%s", error)
        return None


def _serve_all(channel: socket.socket, memory: sealed.Sealed | None) -> None:
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, _LIMIT, 1)
        if not data:
            return
        channel.send(json.dumps(_serve(data, descriptors, channel, memory)).encode())


def _serve(data: bytes, descriptors: list[int], channel: socket.socket, memory: sealed.Sealed | None) -> dict[str, Any]:
    try:
        request = json.loads(data)
        (descriptor,) = descriptors
        pid = fork_sibling()
        if pid == 0:
            channel.detach()
            _child(request, descriptor, memory)
        return {"pid": pid}
    except (ValueError, OSError) as error:
        log.error("fork failed error=%s", error)
        return {"error": str(error)}
    finally:
        for each in descriptors:
            os.close(each)


def _child(request: dict[str, Any], descriptor: int, memory: sealed.Sealed | None) -> NoReturn:
    """A shim, or the delete command of one; the zygote's code above is left for good."""
    status = 1
    try:
        life.detach(descriptor, *(memory.descriptors if memory else ()))
        config = Config(
            action=request["action"], namespace=request["namespace"], id=request["id"], address=request["address"],
            bundle=Path(request["bundle"]), debug=request["debug"],
        )
        os.chdir(config.bundle)
        set_title(*command_line(config))
        if config.action == "delete":
            cleanup.delete(config, descriptor)
        else:
            life.serve(config, socket.socket(fileno=descriptor), memory)
        status = 0
    except BaseException:
        log.exception("shim failed")
    finally:
        os._exit(status)
