"""What init and the execs have in common: a state, stdio, a terminal perhaps, and an exit."""

import logging
import os
from pathlib import Path

from protos.containerd.runtime.task.v3 import shim_pb2
from protos.errdefs import FailedPrecondition, Internal, NotFound
from services.shim import linux
from services.shim.events import timestamp
from services.shim.loop import Future, Lock, Loop
from services.shim.process.console import Console
from services.shim.process.state import State, Verb, after
from services.shim.reaper import Exit, Reaper
from services.shim.runtime import Stdio as Descriptors
from services.shim.streams.factory import Request
from services.shim.streams.stdio import Stdio

log = logging.getLogger("process")

_DRAIN_SECONDS = 2.0
_CONSOLE_SECONDS = 10.0


class Process:
    """`died` is its exit as it happened, `exit` the same once stdio has ended and it may be announced."""

    def __init__(self, name: str, request: Request, stdio: Stdio) -> None:
        self.name = name
        self.request = request
        self.stdio = stdio
        self.state = State.CREATED
        self.pid = 0
        self.lock = Lock()
        self.died: Future[Exit] = Future()
        self.exit: Future[Exit] = Future()
        self._terminal = -1

    def move(self, verb: Verb) -> None:
        """Change state as the table says, or raise."""
        self.state = after(self.state, verb, self.name or "init")

    def listen(self, loop: Loop, directory: Path) -> Console | None:
        return Console(loop, directory) if self.request.terminal else None

    def descriptors(self) -> Descriptors | None:
        return None if self.request.terminal else self.stdio.child()

    async def adopt(self, loop: Loop, reaper: Reaper, pid_file: Path, console: Console | None) -> None:
        """Take the process that the runtime has made: its pid, its exit, its terminal; and begin to copy."""
        self.pid = _read_pid(pid_file)
        reaped = reaper.expect(self.pid)
        reaped.when_done(lambda: self.died.set(reaped.result()))
        if console is not None:
            try:
                self._terminal = await loop.timeout(console.master, _CONSOLE_SECONDS)
            except (TimeoutError, ConnectionError) as error:
                raise Internal(f"the runtime made no terminal for {self.name or 'init'}: {error}") from error
        self.stdio.begin(self._terminal if console is not None else None)

    async def drain(self, loop: Loop) -> None:
        """Wait for the end of its output, which a process it left behind may hold open; not for long."""
        try:
            await loop.timeout(self.stdio.ended, _DRAIN_SECONDS)
        except TimeoutError:
            try:
                self.stdio.finish()
            except OSError:
                log.exception("last output is lost process=%s", self.name or "init")

    def resize(self, width: int, height: int) -> None:
        """Without a terminal, or any more, there is nothing to resize, which is no error to containerd's clients."""
        if self._terminal >= 0 and not self.died.done:
            linux.set_window_size(self._terminal, width, height)

    def signal(self, reaper: Reaper, number: int) -> None:
        if self.pid == 0 and not self.died.done:
            raise FailedPrecondition(f"process {self.name or 'init'} is not created")
        if not reaper.signal(self.pid, number):
            raise NotFound("process already finished: not found")

    def close(self) -> None:
        self._terminal = -1
        self.stdio.close()

    def describe(self, container_id: str, bundle: str) -> shim_pb2.StateResponse:
        request = self.request
        response = shim_pb2.StateResponse(
            id=container_id, bundle=bundle, pid=self.pid, status=self.state.value, stdin=request.stdin,
            stdout=request.stdout, stderr=request.stderr, terminal=request.terminal, exec_id=self.name,
        )
        if self.exit.done:
            response.exit_status = self.exit.result().status
            response.exited_at.CopyFrom(timestamp(self.exit.result().at))
        return response


def _read_pid(pid_file: Path) -> int:
    try:
        return int(pid_file.read_text())
    except (OSError, ValueError) as error:
        raise Internal(f"the runtime wrote no pid into {pid_file}: {error}") from error


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only root may read; it holds a process's environment."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
