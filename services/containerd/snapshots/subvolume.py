"""Subvolumes of btrfs by ioctl, as the kernel's btrfs.h has them."""

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from protos import trees

MAGIC: Final = "btrfs"
ROOT_INODE: Final = 256
"""The number that the root directory of every subvolume has."""
_SNAP_CREATE: Final = 0x50009401
_SUBVOL_CREATE: Final = 0x5000940E
_SNAP_DESTROY: Final = 0x5000940F
_INO_LOOKUP: Final = 0xD0009412
_QUOTA_CTL: Final = 0xC0109428
_QGROUP_CREATE: Final = 0x4010942A
_QGROUP_LIMIT: Final = 0x8030942B
_ENABLE: Final = 1
_LIMIT_REFERENCED: Final = 1
_VOLUME: Final = struct.Struct("=q4088s")


def create(path: Path) -> None:
    with _held(path.parent) as parent:
        _call(parent, _SUBVOL_CREATE, 0, path.name)


def snapshot(source: Path, path: Path) -> None:
    with _held(source) as old, _held(path.parent) as parent:
        _call(parent, _SNAP_CREATE, old, path.name)


def is_root(path: Path) -> bool:
    facts = path.lstat()
    return facts.st_ino == ROOT_INODE and path.is_dir() and not path.is_symlink()


def identity(path: Path) -> int:
    """The number of the subvolume that `path` lies in."""
    with _held(path) as held:
        answer = bytearray(struct.pack("=QQ4080s", 0, ROOT_INODE, b""))
        fcntl.ioctl(held, _INO_LOOKUP, answer)
    return int(struct.unpack_from("=Q", answer)[0])


def delete(path: Path) -> None:
    """A subvolume with those that containers made inside it; its space comes back later."""
    group = identity(path)
    try:
        _destroy(path)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        for inner in _nested(path):
            delete(inner)
        _destroy(path)
    with contextlib.suppress(OSError), _held(path.parent) as parent:  # no quotas, or the kernel has dropped it
        fcntl.ioctl(parent, _QGROUP_CREATE, struct.pack("=QQ", 0, group))


def _destroy(path: Path) -> None:
    with _held(path.parent) as parent:
        _call(parent, _SNAP_DESTROY, 0, path.name)


def _nested(path: Path) -> Iterator[Path]:
    for directory, names, _ in os.walk(path):
        for name in list(names):
            inner = Path(directory, name)
            if is_root(inner):
                names.remove(name)
                yield inner


def enable_quotas(path: Path) -> None:
    with _held(path) as held:
        fcntl.ioctl(held, _QUOTA_CTL, struct.pack("=QQ", _ENABLE, 0))


def limit(path: Path, size: int) -> None:
    """Let what the subvolume refers to, shared with its parent or not, be no more than `size` bytes."""
    with _held(path) as held:
        fcntl.ioctl(held, _QGROUP_LIMIT, struct.pack("=6Q", 0, _LIMIT_REFERENCED, size, 0, 0, 0))


def remove_tree(path: Path) -> None:
    """Delete a subvolume, or what else lies there."""
    if is_root(path):
        delete(path)
    else:
        trees.remove(path)


def _call(parent: int, command: int, source: int, name: str) -> None:
    # A mutable argument: others may have 1,024 bytes at most.
    fcntl.ioctl(parent, command, bytearray(_VOLUME.pack(source, os.fsencode(name))))


@contextmanager
def _held(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
