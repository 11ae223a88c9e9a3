"""The /dev/shm of a container whose IPC namespace others may join: a tmpfs on the host, beside its files."""

import contextlib
import os
from pathlib import Path

from services.dockerd import linux
from services.dockerd.container.container import Container


def directory(container: Container) -> str:
    return str(container.directory / "mounts" / "shm")


def make(container: Container, owner: tuple[int, int] = (0, 0)) -> None:
    """Mount it for `owner`, uid and gid, before a start; nothing for other IPC modes."""
    if container.host.IpcMode != "shareable":
        return
    path = directory(container)
    Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.path.ismount(path):
        return
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    linux.mount("shm", path, "tmpfs", flags, f"mode=1777,size={container.host.ShmSize}")
    os.chown(path, *owner)


def remove(container: Container) -> None:
    """Unmount it, after an end; harmless if repeated."""
    if container.host.IpcMode == "shareable":
        with contextlib.suppress(OSError):
            linux.umount2(directory(container), linux.MNT_DETACH)
