"""Directories that a layer's archive goes through without naming them.

In an overlay's upper layer they must look like the parents' ones. A layer that is unpacked before its parent is
known keeps a list of them beside its files, settled when it gets one.
"""

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from services.containerd import linux
from services.containerd.diff.whiteout import OPAQUE_XATTR

_LIST: Final = "implied"
_BENEATH: Final = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_SYMLINKS
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY


def record(upper: Path, names: Iterable[bytes]) -> None:
    """Remember implied directories of a layer whose parent is not known yet; b"." is its root."""
    upper.with_name(_LIST).write_bytes(b"\0".join(names))


def settle(upper: Path, parents: Sequence[Path]) -> None:
    """Give the recorded directories the look they have in the nearest of `parents`."""
    place = upper.with_name(_LIST)
    if not place.exists():
        return
    root = os.open(upper, _DIRECTORY | os.O_CLOEXEC)
    try:
        for name in place.read_bytes().split(b"\0"):
            if name:
                _settle_one(root, name, parents)
    finally:
        os.close(root)
    place.unlink()


def _settle_one(root: int, name: bytes, parents: Sequence[Path]) -> None:
    try:
        target = linux.openat2(root, os.fsdecode(name), _DIRECTORY, _BENEATH)
    except OSError:
        return
    try:
        imitate(target, name, parents)
    finally:
        os.close(target)


def imitate(target: int, name: bytes, parents: Sequence[Path]) -> None:
    """Copy owner, mode, times and xattrs of the directory `name` in the first parent that has it."""
    for parent in parents:
        try:
            source = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            found = linux.openat2(source, os.fsdecode(name), _DIRECTORY, _BENEATH)
        except FileNotFoundError:
            continue
        except OSError:  # a whiteout, or no directory: what lies further down is hidden
            return
        finally:
            os.close(source)
        try:
            _copy(found, target)
        finally:
            os.close(found)
        return


def _copy(source: int, target: int) -> None:
    facts = os.fstat(source)
    os.fchown(target, facts.st_uid, facts.st_gid)
    for name in os.listxattr(source):
        if name != OPAQUE_XATTR:
            os.setxattr(target, name, os.getxattr(source, name))
    os.fchmod(target, stat.S_IMODE(facts.st_mode))
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))
