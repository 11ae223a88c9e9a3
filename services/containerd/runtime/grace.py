"""The kernel's lock for moves between control groups, taken ahead of the runtime that needs it.

A runtime moves each process it starts, and the first such move waits 5 to 15 ms until every processor has passed a
quiet point (percpu_down_write of cgroup_threadgroup_rwsem); moves soon after it do not. So the wait is begun when a
start is asked for, and is over when the runtime gets there. The move that begins it is our own, to where we are.
"""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from services.containerd.runtime import cgroup

_AGAIN: Final = 0.008
"""Seconds after which a move is repeated: the lock stays quick for about one grace period."""
_LONGEST: Final = 0.2
"""Seconds a runtime is helped for; by then it is past that point, or held up by more than this."""


class Grace:
    """`with ahead():` around what has a runtime start a process. Not there, or not allowed: nothing happens."""

    def __init__(self, root: Path = cgroup.ROOT) -> None:
        self._root = root
        self._users = 0
        self._until = 0.0
        self._idle = threading.Event()
        self._running = False

    @contextmanager
    def ahead(self) -> Iterator[None]:
        self._users += 1
        self._until = time.monotonic() + _LONGEST
        self._idle.clear()
        if not self._running:
            self._running = True
            asyncio.get_running_loop().run_in_executor(None, self._hold)
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._idle.set()

    def _hold(self) -> None:
        """In a thread, as each move may wait."""
        try:
            while self._users and time.monotonic() < self._until and stay(self._root):
                self._idle.wait(_AGAIN)
        finally:
            self._running = False


def stay(root: Path) -> bool:
    """Move this process to the group it is in; False where that cannot be tried."""
    groups = cgroup.of_process(os.getpid())
    controller = next((each for each in ("freezer", "pids", "") if each in groups), None)
    if controller is None:
        return False
    try:
        fd = os.open(root / controller / groups[controller].lstrip("/") / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, b"0")
    except OSError:
        pass  # refused after the lock was taken
    finally:
        os.close(fd)
    return True
