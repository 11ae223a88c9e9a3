"""From the mounts of a request to directories: what to unpack into, what to compare.

Bind mounts and overlays whose upper directory is known are used in place. Anything else is mounted for the moment.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.containerd import linux

_FLAGS: Final = {
    "ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "sync": 16, "dirsync": 128, "noatime": 1024, "nodiratime": 2048,
    "bind": 4096, "rbind": 4096 | 16384, "relatime": 1 << 21, "strictatime": 1 << 24, "rw": 0, "defaults": 0,
}


@dataclass(frozen=True, slots=True)
class Layer:
    """A directory that holds one layer of an overlay, or a whole tree."""

    path: Path
    parents: tuple[Path, ...] = ()
    upper: bool = False
    """Whether whiteouts in it are overlayfs's."""


def writable(mounts: Sequence[Mount], overlays: Path) -> Layer | None:
    """Where to unpack what is meant for these mounts; None where they must be mounted for it.

    A plain directory below `overlays` is the upper layer of an overlay to come.
    """
    if len(mounts) != 1:
        return None
    mount = mounts[0]
    if mount.type == "bind" and "ro" not in mount.options:
        path = Path(mount.source)
        return Layer(path, upper=path.is_relative_to(overlays))
    if mount.type == "overlay" and option(mount, "upperdir"):
        return Layer(Path(option(mount, "upperdir")), lower(mount), upper=True)
    return None


def option(mount: Mount, name: str) -> str:
    prefix = name + "="
    return next((text.removeprefix(prefix) for text in mount.options if text.startswith(prefix)), "")


def lower(mount: Mount) -> tuple[Path, ...]:
    """The lower directories of an overlay, the nearest first; a bind mount's source."""
    if mount.type == "bind":
        return (Path(mount.source),)
    return tuple(Path(part) for part in option(mount, "lowerdir").split(":") if part)


@contextmanager
def mounted(mounts: Sequence[Mount], scratch: Path) -> Iterator[Path]:
    """A path at which the tree of these mounts lies, until the block ends; an empty directory for no mounts."""
    if len(mounts) == 1 and mounts[0].type == "bind":
        yield Path(mounts[0].source)
        return
    target = mkdtemp(dir=scratch)
    done = 0
    try:
        for mount in mounts:
            _mount(mount, target)
            done += 1
        yield Path(target)
    finally:
        for _ in range(done):
            linux.umount2(target, linux.MNT_DETACH)
        Path(target).rmdir()


def unmount_leftovers(scratch: Path) -> None:
    """What an earlier life left mounted."""
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    for entry in os.scandir(scratch):
        while os.path.ismount(entry.path):
            linux.umount2(entry.path, linux.MNT_DETACH)
        Path(entry.path).rmdir()


def _mount(mount: Mount, target: str) -> None:
    flags = 0
    data = []
    for text in mount.options:
        if text in _FLAGS:
            flags |= _FLAGS[text]
        else:
            data.append(text)
    kind = "" if mount.type in ("bind", "rbind") else mount.type
    try:
        linux.mount(mount.source, target, kind, flags, ",".join(data))
    except OSError as error:
        raise errdefs.FailedPrecondition(f"cannot mount {mount.type} {mount.source}: {error.strerror}") from error
