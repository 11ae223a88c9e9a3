"""A container's control group, version 1 or 2: who is in it, what it used, killing it, the notice of memory run out."""

import os
import select
import signal as signals
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from google.protobuf.message import Message

from services.shim import linux
from services.shim.loop import Loop

_ROOT: Final = Path("/sys/fs/cgroup")


class Oom:
    def check(self) -> None: ...


class Cgroup:
    def __init__(self, paths: dict[str, Path]) -> None:
        self._paths = paths

    @classmethod
    def of(cls, pid: int) -> "Cgroup":
        paths: dict[str, Path] = {}
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for each in controllers.split(","):
                paths[each] = _ROOT / each / path.lstrip("/")
        return cls(paths)

    def pids(self) -> list[int]:
        return sorted(int(each) for each in (self._paths["freezer"] / "cgroup.procs").read_text().split())

    def thaw(self) -> None:
        (self._paths["freezer"] / "freezer.state").write_text("THAWED")

    async def kill(self, loop: Loop, number: int) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def metrics(self) -> Message:
        raise NotImplementedError

    def watch_oom(self, loop: Loop, callback: Callable[[], object]) -> Oom:
        return Oom()


def has_own_pid_namespace(pid: int) -> bool:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return line.split()[-1] == "1"
    return True
