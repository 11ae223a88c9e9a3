"""A container's first process: made by `runc create`, released by `runc start`, cleared away by `runc delete`."""

from pathlib import Path

from services.shim.loop import Loop
from services.shim.process.process import Process
from services.shim.process.rootfs import Mount, mount_all
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
                prepare = (lambda: mount_all(mounts, rootfs)) if mounts else None
                await runtime.create(pid_file, self.descriptors(), console.address if console else None, prepare)
                await self.adopt(loop, reaper, pid_file, console)
        finally:
            if console is not None:
                console.close()
