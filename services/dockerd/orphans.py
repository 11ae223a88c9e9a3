"""Children that nobody here started: shims and what they leave, which fall to dockerd, the subreaper, when
docker-containerd dies before them.

Whoever starts a process waits for it by its pid and at once. So a child that is still a zombie at a second look, a
moment later, belongs to nobody and is reaped here.
"""

import asyncio
import logging
import os
import signal
from types import TracebackType
from typing import Final

log = logging.getLogger("orphans")

PATIENCE: Final = 2.0
"""Seconds a zombie has to be waited for by its owner."""


class Orphans:
    """Open within a running loop; SIGCHLD is its alone."""

    def __init__(self) -> None:
        self._seen = 0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> "Orphans":
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGCHLD, self._later)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.remove_signal_handler(signal.SIGCHLD)
        if self._timer:
            self._timer.cancel()

    def _later(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(PATIENCE, self._look)

    def _look(self) -> None:
        self._timer = None
        while (pid := first_zombie()) and pid == self._seen:
            os.waitpid(pid, os.WNOHANG)
            log.debug("orphan reaped pid=%d", pid)
            self._seen = first_zombie()
        self._seen = pid
        if pid:
            self._later()


def first_zombie() -> int:
    """A child that has ended and was not waited for, 0 for none."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return found.si_pid if found else 0
