"""Children nobody here started: what a dead shim or a start command left falls to us, the nearest subreaper.

Never by `waitpid(-1)`, which would take the exit of somebody's subprocess: an unknown child is reaped once it has been
a zombie for two looks in a row, so that whoever waits for it had time.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Final

_PAUSE: Final = 2.0


class Reaper:
    def __init__(self, owned: Callable[[int], bool]) -> None:
        self._owned = owned
        self._suspect = 0
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._soon)

    def close(self) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
        if self._timer is not None:
            self._timer.cancel()

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE, self._look)

    def _look(self) -> None:
        self._timer = None
        while (pid := _zombie()) == self._suspect != 0 and not self._owned(pid):
            reap(pid)
            self._suspect = _zombie()
        self._suspect = pid
        if pid:
            self._soon()


def _zombie() -> int:
    """The first child that has ended and was not waited for, 0 for none."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return found.si_pid if found else 0


def reap(pid: int) -> int | None:
    """The status of a child that has ended, as a shell shows it; None where it has not, or is not ours."""
    try:
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if found is None:
        return None
    return int(found.si_status) if found.si_code == os.CLD_EXITED else 128 + int(found.si_status)
