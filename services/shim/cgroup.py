"""A container's control group, version 1 or 2: who is in it, killing it, and the notice that memory ran out.

What it used is in metrics.py. Where the group is gone, there is nobody in it.
"""

import functools
import os
import signal as signals
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from google.protobuf.message import Message

from services.shim import linux, metrics
from services.shim.loop import Loop

_FREEZE_STEPS: Final = 100
_FREEZE_PAUSE: Final = 0.005


class Oom:
    """Calls back once for each time the kernel has killed for want of memory; `count` reads how often it has."""

    def __init__(self, loop: Loop, fd: int, count: Callable[[], int], callback: Callable[[], object]) -> None:
        self._loop, self._fd, self._count, self._callback = loop, fd, count, callback
        self._seen = count()
        if fd >= 0:
            loop.add_reader(fd, self._notified)

    def _notified(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._fd, 4096)
        self.check()

    def check(self) -> None:
        """Look now: at an exit the notice may not have come yet."""
        count = self._count()
        if count > self._seen:
            self._seen = count
            self._callback()

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove(self._fd)
            os.close(self._fd)
            self._fd = -1


class Cgroup(Protocol):
    def pids(self) -> list[int]:
        """Everybody in the group and in groups below it."""

    async def kill(self, loop: Loop, number: int) -> None:
        """Send a signal to all of them, none escaping by a fork."""

    def thaw(self) -> None:
        """Let a frozen group die of the SIGKILL it was sent."""

    def metrics(self) -> Message: ...

    def watch_oom(self, loop: Loop, callback: Callable[[], object]) -> Oom: ...


def cgroup_of(pid: int) -> Cgroup:
    """The group a process is in."""
    groups: dict[str, str] = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))
    mounts = _mounts()
    found = {name: _below(mounts[name], path) for name, path in groups.items() if name in mounts}
    return V1(found) if found.keys() - {"", "name=systemd"} else V2(found[""])


@functools.cache
def _mounts() -> dict[str, tuple[str, str]]:
    """Mount point and root of each controller's hierarchy; version 2 is the controller "". They do not move."""
    mounts: dict[str, tuple[str, str]] = {}
    with Path("/proc/self/mountinfo").open() as file:
        for line in file:
            before, _, after = line.partition(" - ")
            if not after.startswith("cgroup"):
                continue
            fields, (kind, _, options) = before.split(), after.split()
            for name in [""] if kind == "cgroup2" else options.split(","):
                mounts.setdefault(name, (fields[4], fields[3]))
    return mounts


def _below(mount: tuple[str, str], path: str) -> Path:
    point, root = mount
    return Path(point, path.removeprefix(root.rstrip("/")).lstrip("/"))


def _pids(group: Path) -> list[int]:
    pids: set[int] = set()
    for directory, _, _ in os.walk(group):
        with suppress(OSError):
            pids.update(map(int, Path(directory, "cgroup.procs").read_text().split()))
    return sorted(pids - {0})


def _signal_all(group: Path, number: int) -> None:
    for pid in _pids(group):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


async def _frozen(loop: Loop, reached: Callable[[], bool]) -> None:
    for _ in range(_FREEZE_STEPS):
        if reached():
            return
        await loop.sleep(_FREEZE_PAUSE)


def field(path: Path, name: str) -> int:
    """The number behind `name` in a file of `name number` lines; 0 where there is none."""
    with suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0


class V1:
    def __init__(self, paths: dict[str, Path]) -> None:
        self._paths = paths
        self._group = paths.get("freezer") or paths.get("devices") or next(iter(paths.values()))
        self._state = self._paths["freezer"] / "freezer.state" if "freezer" in paths else None

    def pids(self) -> list[int]:
        return _pids(self._group)

    async def kill(self, loop: Loop, number: int) -> None:
        state = self._state
        if state is None:
            _signal_all(self._group, number)
            return
        with suppress(FileNotFoundError):
            paused = state.read_text().strip() != "THAWED"
            if not paused:
                state.write_text("FROZEN")
                await _frozen(loop, lambda: state.read_text().strip() == "FROZEN")
            _signal_all(self._group, number)
            if not paused or number == signals.SIGKILL:
                state.write_text("THAWED")

    def thaw(self) -> None:
        if self._state is not None:
            with suppress(OSError):
                self._state.write_text("THAWED")

    def metrics(self) -> Message:
        return metrics.v1(self._paths)

    def watch_oom(self, loop: Loop, callback: Callable[[], object]) -> Oom:
        group = self._paths.get("memory")
        if group is None:
            return Oom(loop, -1, lambda: 0, callback)
        control = group / "memory.oom_control"
        notice = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            watched = os.open(control, os.O_RDONLY | os.O_CLOEXEC)
            try:
                (group / "cgroup.event_control").write_text(f"{notice} {watched}")
            finally:
                os.close(watched)
        except OSError:  # then the counter alone says it, at the exit
            os.close(notice)
            notice = -1
        return Oom(loop, notice, lambda: field(control, "oom_kill"), callback)


class V2:
    def __init__(self, group: Path) -> None:
        self._group = group

    def pids(self) -> list[int]:
        return _pids(self._group)

    async def kill(self, loop: Loop, number: int) -> None:
        with suppress(FileNotFoundError):
            if number == signals.SIGKILL and (self._group / "cgroup.kill").exists():
                (self._group / "cgroup.kill").write_text("1")
                return
            freeze = self._group / "cgroup.freeze"
            paused = freeze.read_text().strip() == "1"
            if not paused:
                freeze.write_text("1")
                await _frozen(loop, lambda: field(self._group / "cgroup.events", "frozen") == 1)
            _signal_all(self._group, number)
            if not paused:
                freeze.write_text("0")

    def thaw(self) -> None:
        """Nothing to do: a frozen process of version 2 dies of SIGKILL."""

    def metrics(self) -> Message:
        return metrics.v2(self._group)

    def watch_oom(self, loop: Loop, callback: Callable[[], object]) -> Oom:
        events = self._group / "memory.events"
        try:
            notice = linux.inotify(str(events), linux.IN_MODIFY)
        except OSError:
            notice = -1
        return Oom(loop, notice, lambda: field(events, "oom_kill"), callback)


def has_own_pid_namespace(pid: int) -> bool:
    """Whether everybody in the container ends when this process, its first, does."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return line.split()[-1] == "1"
    return True
