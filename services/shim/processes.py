"""The processes of a container: its init, under the exec id "", and its execs."""

import logging
from typing import Final

from protos.errdefs import AlreadyExists, NotFound
from services.shim.loop import Future, Loop
from services.shim.process.exec import Exec
from services.shim.process.init import Init
from services.shim.process.process import Process
from services.shim.process.state import State

log = logging.getLogger("container")

_FLUSH_SECONDS: Final = 60.0


class Processes:
    def __init__(self, loop: Loop) -> None:
        self.container_id = ""
        self.init: Init | None = None
        self.execs: dict[str, Exec] = {}
        self._loop = loop
        self._unquiet: list[Future[None]] = []

    def find(self, exec_id: str) -> Process:
        process = self.execs.get(exec_id) if exec_id else self.init
        if process is None:
            raise NotFound(f"process {exec_id or 'init'} of container {self.container_id} does not exist: not found")
        return process

    def check_new(self, exec_id: str) -> None:
        if exec_id in self.execs or not exec_id:
            raise AlreadyExists(f"exec {exec_id} exists already: already exists")

    def running_execs(self) -> list[Exec]:
        return [each for each in self.execs.values() if each.state is State.RUNNING]

    def close(self, process: Process) -> None:
        """Its clients may not have everything yet."""
        process.close()
        self._unquiet = [each for each in (*self._unquiet, process.stdio.quiet) if not each.done]

    def close_all(self) -> None:
        for process in (*self.execs.values(), *([self.init] if self.init else [])):
            self.close(process)
        self.execs.clear()

    async def drained(self) -> None:
        """Return once attached clients have all their output, or do not take it."""
        for quiet in self._unquiet:
            try:
                await self._loop.timeout(quiet, _FLUSH_SECONDS)
            except TimeoutError:
                log.warning("attached clients do not take their output id=%s", self.container_id)
