"""A container's first process: made by `runc create`, released by `runc start`, cleared away by `runc delete`."""

import os
import signal
from functools import partial
from pathlib import Path

from services.shim import linux
from services.shim.loop import Loop
from services.shim.process.process import Process
from services.shim.process.rootfs import Mount, Plan, plan
from services.shim.reaper import Reaper
from services.shim.runtime import Runtime


class Init(Process):
    async def create(
        self, loop: Loop, reaper: Reaper, runtime: Runtime, bundle: Path, mounts: list[Mount]
    ) -> None:
        rootfs = bundle / "rootfs"
        rootfs.mkdir(mode=0o711, exist_ok=True)
        console = self.listen(loop, bundle)
        pid_file = bundle / "init.pid"
        try:
            with reaper.keep():
                prepare = partial(_prepare, os.getpid(), plan(mounts, rootfs)) if mounts else None
                await runtime.create(pid_file, self.descriptors(), console.address if console else None, prepare)
                await self.adopt(loop, reaper, pid_file, console)
        finally:
            if console is not None:
                console.close()


def _prepare(parent: int, mounts: Plan) -> None:
    """In the child: a runtime that outlived its shim would race with the clean-up after it."""
    linux.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != parent:
        raise ProcessLookupError("the shim has ended")
    mounts.apply()
