"""One task's shim: the calls to it, its log, and the moment it dies."""

import asyncio
import logging
import os
import re
import signal
from collections.abc import Callable
from typing import Final, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from protos import errdefs
from protos.containerd.runtime.task.v3 import shim_pb2
from protos.log import short
from services.containerd.runtime import reaper
from services.containerd.runtime.bundle import Bundle, Exit, Identity, Server
from services.containerd.runtime.connection import Connection, connect

log = logging.getLogger("shim")

Reply = TypeVar("Reply", bound=Message)

_SERVICE: Final = "/containerd.task.v3.Task/"
DEADLINE: Final = 30.0
"""Seconds a shim has for an ordinary call."""
_LINE: Final = re.compile(r"((?:time|level)=\S+ (?:\w+=\S* )*?)msg=(.*)")
_VALUES: Final = re.compile("  (?=[a-z]+=)")


class Shim:
    """Made by runtime/launch.py. `dead` is called once, when the process has ended before `release`."""

    def __init__(self, bundle: Bundle, server: Server, connection: Connection | None) -> None:
        self.bundle = bundle
        self.server = server
        self.pid = 0
        self.created = False
        """Whether it has, or had, a container."""
        self.exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        """How its container is reported to have ended, once this shim is dead and buried."""
        self._connection = connection
        self._pidfd = -1
        self._log_fd = -1
        self._dead: Callable[[Shim], object] | None = None

    @property
    def path(self) -> str:
        return self.server.address.removeprefix("unix://")

    @property
    def alive(self) -> bool:
        return self._pidfd >= 0

    # calls

    async def call(
        self, verb: str, request: Message, reply: Callable[[], Reply], timeout: float | None = DEADLINE
    ) -> Reply:
        """One call of the task service; connects anew where the last connection broke."""
        if self._connection is None or self._connection.closed:
            try:
                self._connection = await connect(self.path)
            except OSError as error:
                raise errdefs.Unavailable(f"shim of {self.bundle.id} cannot be reached: {error.strerror}") from error
        return await self._connection.call(_SERVICE + verb, request, reply, timeout, self.bundle.namespace)

    async def greet(self, timeout: float) -> shim_pb2.ConnectResponse:
        request = shim_pb2.ConnectRequest(id=self.bundle.id)
        return await self.call("Connect", request, shim_pb2.ConnectResponse, timeout)

    async def shut_down(self, now: bool = False) -> None:
        """Ask it to end; one that does not answer has ended, or is killed when its container is."""
        try:
            await self.call("Shutdown", shim_pb2.ShutdownRequest(id=self.bundle.id, now=now), Empty, 3.0)
        except errdefs.EngineError as error:
            log.debug("shutdown unanswered id=%s error=%s", self.bundle.id, error)

    # life

    def watch(self, pid: int, dead: Callable[["Shim"], object]) -> None:
        """Notice its end from now on; ProcessLookupError where it has ended already."""
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._dead = dead
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)

    def identify(self) -> None:
        """Note in the bundle which process it is."""
        self.server = Server(self.server.program, self.server.address, Identity.of(self.pid))
        self.bundle.save(self.server)

    def _ended(self) -> None:
        reaper.reap(self.pid)
        dead = self._dead
        self._unwatch()
        if self._connection is not None:
            self._connection.close()
        if dead is not None:
            dead(self)

    def _unwatch(self) -> None:
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        if self._log_fd >= 0:
            asyncio.get_running_loop().remove_reader(self._log_fd)
            os.close(self._log_fd)
            self._log_fd = -1

    def kill(self) -> None:
        if self._pidfd >= 0:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def release(self) -> None:
        """Its task is gone: its end is no death from now on, but is still waited for."""
        self._dead = None

    def forget(self) -> None:
        """Leave it running without us."""
        self._unwatch()
        if self._connection is not None:
            self._connection.close()

    # its log

    def read_log(self) -> None:
        """Copy what it says into our own log. Opened for both directions, the fifo never ends."""
        try:
            self._log_fd = os.open(self.bundle.path / "log", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            log.warning("log of shim cannot be read id=%s error=%s", self.bundle.id, error)
            return
        asyncio.get_running_loop().add_reader(self._log_fd, self._said)

    def _said(self) -> None:
        try:
            text = os.read(self._log_fd, 1 << 16).decode(errors="replace")
        except BlockingIOError:
            return
        for line in text.splitlines():
            self._pass_on(line)

    def _pass_on(self, line: str) -> None:
        """A line of our shim keeps its own level, module and scope; what another says is its container's."""
        found = _LINE.fullmatch(line)
        words = dict(word.partition("=")[::2] for word in found[1].split()) if found else {}
        level = logging.getLevelName(words.pop("level", "info").upper())
        scope = words if found else {"container": short(self.bundle.id), "namespace": self.bundle.namespace}
        scope.pop("time", None)
        to = logging.getLogger(scope.pop("module", "shim"))
        said, *values = _VALUES.split(found[2]) if found else [line]
        to.log(level if isinstance(level, int) else logging.INFO, "%s", said,
               extra={"scope": scope, "fields": dict(value.split("=", 1) for value in values)})

