"""A container's root file system, mounted by the child that becomes `runc create`, in a mount namespace of its own.

These mounts are never seen on the host and go with the container. Where the bundle lies on a shared mount, a mount made
beneath it would still spread to the host; that one mount is private while we mount, and joins its old peers afterwards,
so that what the runtime is to share (`rshared` volumes) still reaches the host. Kernels before 5.15 cannot rejoin:
there the mount does spread, and the shim's `delete` takes it from the host.
"""

import errno
import functools
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.shim import linux

_FLAGS: Final[dict[str, tuple[bool, int]]] = {
    "async": (False, linux.MS_SYNCHRONOUS), "atime": (False, linux.MS_NOATIME), "bind": (True, linux.MS_BIND),
    "defaults": (True, 0), "dev": (False, linux.MS_NODEV), "diratime": (False, linux.MS_NODIRATIME),
    "dirsync": (True, linux.MS_DIRSYNC), "exec": (False, linux.MS_NOEXEC), "noatime": (True, linux.MS_NOATIME),
    "nodev": (True, linux.MS_NODEV), "nodiratime": (True, linux.MS_NODIRATIME), "noexec": (True, linux.MS_NOEXEC),
    "norelatime": (False, linux.MS_RELATIME), "nostrictatime": (False, linux.MS_STRICTATIME),
    "nosuid": (True, linux.MS_NOSUID), "rbind": (True, linux.MS_BIND | linux.MS_REC),
    "relatime": (True, linux.MS_RELATIME), "remount": (True, linux.MS_REMOUNT), "ro": (True, linux.MS_RDONLY),
    "rw": (False, linux.MS_RDONLY), "strictatime": (True, linux.MS_STRICTATIME), "suid": (False, linux.MS_NOSUID),
    "sync": (True, linux.MS_SYNCHRONOUS),
}
_DATA_LIMIT: Final = 4095  # mount(2) takes one page, with its final zero


@dataclass(frozen=True, slots=True)
class Mount:
    kind: str
    source: str
    target: str
    options: tuple[str, ...]


def parse(options: Sequence[str]) -> tuple[int, list[str]]:
    """Mount flags, and the options that are the file system's own."""
    flags, data = 0, []
    for option in options:
        known = _FLAGS.get(option)
        if known is None:
            data.append(option)
        else:
            flags = flags | known[1] if known[0] else flags & ~known[1]
    return flags, data


@dataclass(frozen=True, slots=True)
class Call:
    """One mount(2), `directory` entered before it; `name` is what it is called when it fails."""

    source: str
    target: str
    kind: str
    flags: int
    data: str
    directory: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Made by the shim, applied by its child. `above` is the mount point that the root file system lies on."""

    calls: tuple[Call, ...]
    above: str | None

    def apply(self) -> None:
        """Enter a new mount namespace and mount everything, in order."""
        host = os.open(self.above, os.O_PATH | os.O_CLOEXEC) if self.above else -1
        linux.unshare(linux.CLONE_NEWNS)
        if self.above:
            linux.mount("", self.above, "", linux.MS_PRIVATE)
        for call in self.calls:
            _mount(call)
        if self.above:
            _rejoin(host, self.above)


def plan(mounts: Sequence[Mount], rootfs: Path) -> Plan:
    return Plan(tuple(_call(each, rootfs) for each in mounts), _mount_above(rootfs) if _can_rejoin() else None)


def _call(mount: Mount, rootfs: Path) -> Call:
    flags, options = parse(mount.options)
    directory = None
    if len(",".join(options)) > _DATA_LIMIT:
        directory, options = compact(options)
    name = f"{mount.kind} {mount.source} with {','.join(mount.options)}"
    target = str(rootfs / mount.target.lstrip("/")) if mount.target else str(rootfs)
    return Call(mount.source, target, mount.kind, flags, ",".join(options), directory, name)


def compact(options: Sequence[str]) -> tuple[str | None, list[str]]:
    """Make overlay's lower directories relative to the one they share, which comes first (None if there is none)."""
    short = list(options)
    for number, option in enumerate(short):
        name, _, value = option.partition("=")
        layers = value.split(":")
        if name == "lowerdir" and len(layers) > 1:
            shared = os.path.commonpath(layers)
            short[number] = "lowerdir=" + ":".join(os.path.relpath(each, shared) for each in layers)
            return shared, short
    return None, short


def _mount(call: Call) -> None:
    before = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        if call.directory is not None:
            os.chdir(call.directory)
        linux.mount(call.source, call.target, call.kind, call.flags, call.data)
    except OSError as error:
        text = f"failed to mount rootfs component {call.name}: {error.strerror}"
        raise OSError(error.errno, text, call.target) from error
    finally:
        os.fchdir(before)
        os.close(before)
    if call.flags & linux.MS_BIND and call.flags & linux.MS_RDONLY:
        linux.mount("", call.target, "", call.flags | linux.MS_REMOUNT)


@functools.cache
def _can_rejoin() -> bool:
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int("".join(itertools.takewhile(str.isdigit, minor)))) >= (5, 15)


def _mount_above(path: Path) -> str:
    """The mount point that `path` lies on."""
    point = path.resolve()
    while not linux.is_mount_root(str(point)) and point != point.parent:
        point = point.parent
    return str(point)


def _rejoin(host: int, above: str) -> None:
    ours = os.open(above, os.O_PATH | os.O_CLOEXEC)
    try:
        linux.join_mount_group(host, ours)
    except OSError as error:
        if error.errno != errno.EINVAL:  # the host's is private too: there is no group
            raise
    finally:
        os.close(ours)
        os.close(host)
