"""The zygote as docker-containerd sees it: a warm child that forks shims on request; started anew when it dies.

Requests and answers are described in services/shim/zygote.py. While there is none, `fork` raises Unavailable and
the caller executes the shim instead.
"""

import asyncio
import json
import logging
import os
import socket
import subprocess
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protos import errdefs

log = logging.getLogger("zygote")

_HIDDEN: Final = ("NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_READY: Final = 20.0
_ANSWER: Final = 10.0
_RESTART: Final = 1.0
_LONGEST: Final = 60.0
_GRACE: Final = 2.0
"""Seconds in which a zygote ends by itself once nobody asks: a round of its rehearsal takes a tenth of one."""


@dataclass(frozen=True, slots=True)
class Request:
    """`action` is start, with a listener beside it, or delete, with a pipe."""

    action: str
    namespace: str
    id: str
    address: str
    bundle: str
    debug: bool

    def encode(self) -> bytes:
        return json.dumps({name: getattr(self, name) for name in self.__slots__}).encode()


class Zygote:
    """`open` begins to start it and returns; `fork` waits until it is warm. It may make and remove `directory`."""

    def __init__(self, program: Path, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._answers: deque[asyncio.Future[int]] = deque()
        self._ready: asyncio.Future[None] | None = None
        self._delay = _RESTART
        self._closed = False

    @property
    def pid(self) -> int:
        """0 where there is none."""
        return self._process.pid if self._process else 0

    def open(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = _execute(self._program, theirs, self._directory)
        except OSError as error:
            log.error("zygote cannot be started program=%s error=%s", self._program, error)
            ours.close()
            self._again()
            return
        finally:
            theirs.close()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        self._channel, self._ready = ours, loop.create_future()
        loop.add_reader(ours.fileno(), self._readable)

    async def fork(self, request: Request, descriptor: int) -> int:
        """The pid of a new child of ours. Unavailable where there is no zygote, or it did not do it."""
        channel = await self._warm()
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        try:
            socket.send_fds(channel, [request.encode()], [descriptor])
        except OSError as error:
            raise errdefs.Unavailable(f"zygote takes no request: {error.strerror}") from error
        self._answers.append(answer)
        try:
            async with asyncio.timeout(_ANSWER):
                return await asyncio.shield(answer)
        except TimeoutError as error:
            self._kill()
            raise errdefs.Unavailable(f"zygote did not answer in {_ANSWER:g} s") from error

    async def _warm(self) -> socket.socket:
        if self._ready is not None and not self._ready.done():
            try:
                async with asyncio.timeout(_READY):
                    await asyncio.shield(self._ready)
            except TimeoutError:
                self._kill()
        if self._channel is None or self._ready is None or not self._ready.done():
            raise errdefs.Unavailable("there is no zygote")
        return self._channel

    def close(self) -> None:
        """End it, with what it rehearses; shims it forked are not its children and live on."""
        self._closed = True
        if self._channel is not None and self._process is not None:
            self._channel.shutdown(socket.SHUT_RDWR)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        self._gone("closed")

    def _readable(self) -> None:
        assert self._channel is not None
        try:
            data = self._channel.recv(1 << 16)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._gone("died")
            return
        self._take(json.loads(data))

    def _take(self, answer: dict[str, Any]) -> None:
        if "ready" in answer:
            self._delay = _RESTART
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
            return
        waiting = self._answers.popleft()
        if waiting.done():
            return
        if "pid" in answer:
            waiting.set_result(int(answer["pid"]))
        else:
            waiting.set_exception(errdefs.Unavailable(f"zygote could not fork: {answer.get('error')}"))

    def _gone(self, reason: str) -> None:
        if self._channel is None:
            return
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        self._channel.close()
        self._channel = None
        self._kill()
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
        for waiting in self._answers:
            if not waiting.done():
                waiting.set_exception(errdefs.Unavailable(f"zygote {reason}"))
        self._answers.clear()
        if not self._closed:
            log.warning("zygote %s, starting another delay=%.0f", reason, self._delay)
            self._again()

    def _again(self) -> None:
        def retry() -> None:
            if not self._closed:
                self.open()

        asyncio.get_running_loop().call_later(self._delay, retry)
        self._delay = min(self._delay * 2, _LONGEST)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _execute(program: Path, channel: socket.socket, directory: Path) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
    # One malloc arena: what a shim frees goes back, and its heap stays where the zygote's pages are.
    environment["MALLOC_ARENA_MAX"] = "1"
    fd = channel.fileno()
    return subprocess.Popen(
        [program, "zygote", str(fd), directory], stdin=subprocess.DEVNULL, env=environment, pass_fds=[fd]
    )
