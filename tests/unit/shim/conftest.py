"""A loop and a reaper for a test, and what both change of the process put back."""

import ctypes
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.shim.loop import Loop
from services.shim.reaper import Reaper
from tests.unit.shim.shims import Shim, end

PR_SET_CHILD_SUBREAPER = 36

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def reaper(loop: Loop) -> Iterator[Reaper]:
    umask = os.umask(0o077)
    yield Reaper(loop)
    os.umask(umask)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@pytest.fixture
def run(loop: Loop) -> Run:
    """Run a coroutine to its end; a minute is too long."""

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return loop.run_until(loop.spawn(loop.timeout(coroutine, 60)))

    return run


@pytest.fixture
def shim(loop: Loop, reaper: Reaper, tmp_path: Path) -> Iterator[Shim]:
    shim = Shim(loop, tmp_path)
    yield shim
    if shim.container.pid:
        loop.run_until(loop.spawn(end(shim.container, shim.control)))
