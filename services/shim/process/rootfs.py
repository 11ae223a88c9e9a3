"""A container's root file system, mounted by the child that becomes `runc create`, in a mount namespace of its own.

These mounts are never seen on the host and go with the container. Where the bundle lies on a shared mount, a mount made
beneath it would still spread to the host; that one mount is private while we mount, and joins its old peers afterwards,
so that what the runtime is to share (`rshared` volumes) still reaches the host. Kernels before 5.15 cannot rejoin:
there the mount does spread, and the shim's `delete` takes it from the host.
"""

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


def mount_all(mounts: Sequence[Mount], rootfs: Path) -> None:
    """Enter a new mount namespace and mount the list, in order, on `rootfs`. For a child about to exec."""
    above = _mount_above(rootfs)
    shared = above is not None and _can_rejoin() and _is_shared(above)
    host = os.open(above, os.O_PATH | os.O_CLOEXEC) if above and shared else -1
    linux.unshare(linux.CLONE_NEWNS)
    if above and shared:
        linux.mount("", above, "", linux.MS_PRIVATE)
    for each in mounts:
        _mount(each, str(rootfs / each.target.lstrip("/")) if each.target else str(rootfs))
    if above and shared:
        _share_again(host, above)


def _can_rejoin() -> bool:
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int("".join(itertools.takewhile(str.isdigit, minor)))) >= (5, 15)


def _share_again(host: int, above: str) -> None:
    ours = os.open(above, os.O_PATH | os.O_CLOEXEC)
    try:
        linux.join_mount_group(host, ours)
    finally:
        os.close(ours)
        os.close(host)


def _mount(mount: Mount, target: str) -> None:
    flags, options = parse(mount.options)
    directory, options = compact(options) if len(",".join(options)) > _DATA_LIMIT else (None, options)
    before = Path.cwd()
    try:
        if directory is not None:
            os.chdir(directory)
        linux.mount(mount.source, target, mount.kind, flags, ",".join(options))
    except OSError as error:
        text = f"failed to mount rootfs component {mount.kind} {mount.source} with {','.join(mount.options)}"
        raise OSError(error.errno, f"{text}: {error.strerror}", target) from error
    finally:
        os.chdir(before)
    if flags & linux.MS_BIND and flags & linux.MS_RDONLY:
        linux.mount("", target, "", flags | linux.MS_REMOUNT)


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


def _mounts() -> list[list[str]]:
    with Path("/proc/self/mountinfo").open() as file:
        return [line.split() for line in file]


def _unescape(path: str) -> str:
    return path.encode().decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")


def _mount_above(path: Path) -> str | None:
    """The mount point that `path` lies on."""
    real = str(path.resolve())
    found = None
    for fields in _mounts():
        point = _unescape(fields[4]) if "\\" in fields[4] else fields[4]
        within = real == point or real.startswith(point.rstrip("/") + "/")
        if within and (found is None or len(point) >= len(found)):
            found = point
    return found


def _is_shared(point: str) -> bool:
    shared = False
    for fields in _mounts():
        if fields[4] == point:
            shared = any(each.startswith("shared:") for each in fields[6 : fields.index("-")])
    return shared
