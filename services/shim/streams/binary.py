"""A `binary://` logger: a program that reads stdout on descriptor 3, stderr on 4, and closes 5 when it is ready.

Without a terminal the process writes straight into the logger's pipes; with one, the shim copies.
"""

import logging
import os
import signal
from contextlib import suppress

from protos.errdefs import Unavailable
from services.shim.loop import Future, Loop
from services.shim.reaper import Child, Reaper
from services.shim.streams.plain import Null, Plain
from services.shim.streams.stdio import Pipes, Uri

log = logging.getLogger("binary")

_READY_SECONDS = 10.0
_GRACE_SECONDS = 0.02
_END_SECONDS = 12.0


class Logger:
    """The running program and the write ends of its two pipes."""

    def __init__(self, child: Child, stdout: int, stderr: int) -> None:
        self.child, self.stdout, self.stderr = child, stdout, stderr


async def start_logger(loop: Loop, reaper: Reaper, uri: Uri, namespace: str, container_id: str) -> Logger:
    """Start the program and wait until it is ready; Unavailable where it is not."""
    argv = [uri.path, *(word for pair in uri.arguments for word in pair if word)]
    environment = {**os.environ, "CONTAINER_ID": container_id, "CONTAINER_NAMESPACE": namespace}
    if not os.access(uri.path, os.X_OK):
        raise Unavailable(f"log binary {uri.path} cannot be executed")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    (out_r, out_w), (err_r, err_w), (ready_r, ready_w) = (os.pipe2(os.O_CLOEXEC) for _ in range(3))
    descriptors = (null, null, null, out_r, err_r, ready_w)
    child = reaper.fork_exec(argv, descriptors, environment, _no_preparation, null)
    for fd in (null, out_r, err_r, ready_w):
        os.close(fd)
    logger = Logger(child, out_w, err_w)
    try:
        await _ready(loop, ready_r, child, uri.path)
    except Unavailable:
        os.close(out_w)
        os.close(err_w)
        reaper.signal(child.pid, signal.SIGKILL)
        raise
    return logger


def _no_preparation() -> None:
    """The reaper forks for it all the same: six descriptors are more than stdio."""


async def _ready(loop: Loop, ready: int, child: Child, name: str) -> None:
    closed: Future[None] = Future()
    loop.add_reader(ready, lambda: closed.set(None))
    try:
        await loop.timeout(closed, _READY_SECONDS)
        said = os.read(ready, 1)
    except TimeoutError as error:
        raise Unavailable(f"log binary {name} is not ready after {_READY_SECONDS:g} s") from error
    finally:
        loop.remove(ready)
        os.close(ready)
    if not said:
        await _still_there(loop, child, name)


async def _still_there(loop: Loop, child: Child, name: str) -> None:
    """To close the descriptor is to be ready, but a program that ends closes it too, a moment before."""
    with suppress(TimeoutError):
        ended = await loop.timeout(child.exit, _GRACE_SECONDS)
        raise Unavailable(f"log binary {name} ended with {ended.status} before it was ready")


class Binary:
    """Ended once the logger has read everything, which is when it ends itself."""

    def __init__(self, loop: Loop, reaper: Reaper, logger: Logger, stdin: str, terminal: bool) -> None:
        self.ended: Future[None] = Future()
        self.quiet = self.ended
        self._loop, self._reaper, self._logger = loop, reaper, logger
        logger.child.exit.when_done(lambda: self.ended.set(None))
        self._terminal = terminal
        outputs = (logger.stdout, -1) if terminal else (-1, -1)
        self._rest: Plain | Null = Plain(loop, stdin, outputs, terminal) if stdin or terminal else Null()
        self._given = Pipes(child_stdout=logger.stdout, child_stderr=logger.stderr)
        if terminal:
            os.close(logger.stderr)
            self._given = Pipes()

    def child(self) -> tuple[int, int, int]:
        if isinstance(self._rest, Plain):
            return self._rest.child()[0], *self._given.child()[1:]
        return self._given.child()

    def begin(self, console: int | None) -> None:
        self._given.close_child()
        self._rest.begin(console)
        if self._terminal:
            self._rest.ended.when_done(self._rest.close)  # the logger sees the end

    def accept_input(self) -> None:
        self._rest.accept_input()

    def close_stdin(self) -> None:
        self._rest.close_stdin()

    def finish(self) -> None:
        self._rest.finish()

    def close(self) -> None:
        self._given.close_child()
        self._rest.close()
        if self._reaper.signal(self._logger.child.pid, signal.SIGTERM):
            self._loop.call_later(_END_SECONDS, self._kill)

    def _kill(self) -> None:
        if self._reaper.signal(self._logger.child.pid, signal.SIGKILL):
            log.warning("log binary killed pid=%d", self._logger.child.pid)
