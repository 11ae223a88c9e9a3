"""From the end of a process to its announcement.

An init's exit is on disk before anybody is told. An exit is told once its output has been taken, or two seconds later,
after the reply to its start and, for init, after the exits of the execs.
"""

import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from services.shim.events import Events
from services.shim.loop import Loop
from services.shim.process import record
from services.shim.process.exec import Exec
from services.shim.process.init import Init
from services.shim.process.process import Process
from services.shim.process.state import Verb
from services.shim.processes import Processes

log = logging.getLogger("container")

_EXECS_SECONDS: Final = 2.5


class Exits:
    def __init__(self, loop: Loop, processes: Processes, events: Events, bundle: Path) -> None:
        self._loop = loop
        self._processes = processes
        self._events = events
        self._bundle = bundle

    def follow_exec(self, process: Exec) -> None:
        process.died.when_done(lambda: self._spawn(self._exec_ended(process)))

    def follow_init(self, init: Init, ended: Callable[[], object]) -> None:
        """`ended` is called once its exit is on disk, before that is told."""
        init.died.when_done(lambda: self._spawn(self._init_ended(init, ended)))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine whose failure nobody awaits."""
        future = self._loop.spawn(work)

        def check() -> None:
            try:
                future.result()
            except Exception:
                log.exception("an exit could not be handled id=%s", self._processes.container_id)

        future.when_done(check)

    async def _exec_ended(self, process: Process) -> None:
        await process.drain(self._loop)
        await self._announce(process)

    async def _init_ended(self, init: Init, ended: Callable[[], object]) -> None:
        """Whatever goes wrong on the way, the exit is told."""
        try:
            record.write(self._bundle, init.died.result())
        except OSError as error:
            log.error("exit is not on disk id=%s error=%s", self._processes.container_id, error)
        ended()
        await init.drain(self._loop)
        await self._await_execs()
        await self._announce(init)

    async def _await_execs(self) -> None:
        """Execs end with init, and are told of first; one that does not end is not waited for."""
        until = time.monotonic() + _EXECS_SECONDS
        for process in self._processes.running_execs():
            with suppress(TimeoutError):
                await self._loop.timeout(process.exit, max(0.0, until - time.monotonic()))

    async def _announce(self, process: Process) -> None:
        async with process.lock:  # the event of its start goes first
            ended = process.died.result()
            process.move(Verb.EXIT)
            self._events.exited(process.name, ended)
            process.exit.set(ended)
