"""One shim from its listener to its end: wiring, and when a shim has no more to do.

A shim ends after Shutdown, or by itself when no task came or none is left; never because somebody else ended.
"""

import gc
import logging
import os
import signal
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CoroutineType, FrameType
from typing import Final, TextIO

from protos import stacks
from protos.sealed import Sealed
from services.shim.api import Service
from services.shim.config import Config
from services.shim.container import Container
from services.shim.control import Control
from services.shim.log import setup
from services.shim.loop import Future, Loop
from services.shim.publisher import Publisher
from services.shim.rest import Rest
from services.shim.server import Server

log = logging.getLogger("life")

_LAST_FD: Final = os.sysconf("SC_OPEN_MAX")
_UNUSED: Final = 60.0
"""Seconds a shim waits for its Create."""
_FLUSH: Final = 60.0
"""Seconds its last events may take to reach containerd."""
_FAREWELL: Final = 5.0
"""The same where containerd has deleted the task already: it knows how it ended."""


def serve(config: Config, listener: socket.socket, memory: Sealed | None = None) -> None:
    """Be the shim of `config` until it has no more to do; `memory` as services.shim.rest has it."""
    setup("debug" if config.debug else "info", f"{config.bundle}/log", config.id, config.namespace)
    stacks.name(f"{config.bundle}/stacks.log")
    loop = Loop()
    publisher = Publisher(loop, config.address, config.namespace)
    container = Container(loop, config.namespace, publisher.publish)
    ended: Future[None] = Future()
    control = Control(loop, container)
    forsaken = _forsaken(config.bundle)
    service = Service(loop, config.id, container, control, lambda: ended.set(None), forsaken)
    server = Server(loop, listener, service.methods(), Rest(loop, container, memory).answered)
    loop.call_later(_UNUSED, service.end_unless_used)
    log.debug("serving address=%s", listener.getsockname())
    loop.run_until(ended)
    Path(listener.getsockname()).unlink(missing_ok=True)
    server.close()
    _settle(loop, container, publisher, forsaken)
    log.debug("ended")


def _forsaken(bundle: Path) -> Callable[[], bool]:
    """Tells whether the bundle is gone; another task's at the same place is not it."""
    node = bundle.stat().st_ino

    def gone() -> bool:
        try:
            return bundle.stat().st_ino != node
        except OSError:
            return True

    return gone


def _settle(loop: Loop, container: Container, publisher: Publisher, forsaken: Callable[[], bool]) -> None:
    """Attached clients get their last bytes, containerd its last events."""
    loop.run_until(loop.spawn(container.processes.drained()))
    try:
        patience = _FAREWELL if forsaken() else _FLUSH
        loop.run_until(loop.spawn(loop.timeout(_forever(publisher.drained()), patience)))
    except TimeoutError:
        log.warning("events lost, containerd is not there")


async def _forever(future: Future[None]) -> None:
    await future


def _stay(number: int, _frame: FrameType | None) -> None:
    log.info("signal ignored signal=%s reason=a shim ends with its container", signal.Signals(number).name)


def coroutines(file: TextIO) -> None:
    """Where each of them waits."""
    for each in gc.get_objects():
        if isinstance(each, CoroutineType) and each.cr_frame is not None:
            file.write(f"coroutine {each.__qualname__}:\n{''.join(traceback.format_stack(each.cr_frame))}")


def settle_signals() -> None:
    """No mask, defaults, and what a shim does about signals. A zygote's shims inherit it and need not do it again."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE}:
        if signal.getsignal(number) is not signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stay)
    stacks.on_request("", coroutines)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def detach(*keep: int) -> None:
    """Leave the session and the descriptors, all but `keep`, of whoever started us."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    first = 3
    for each in sorted(keep):
        os.closerange(first, each)
        first = max(first, each + 1)
    os.closerange(first, _LAST_FD)
