"""A whole tree made of two by hard links: what an overlay of `upper` on `lower` shows, as plain directories."""

import errno
import os
import stat
from pathlib import Path

from services.containerd.diff import whiteout
from services.containerd.snapshots.copying import copy_attributes, copy_leaf


def merge(lower: Path, upper: Path, target: Path) -> None:
    """Fill the empty directory `target`; both must lie on its file system."""
    _merge(str(lower), str(upper), str(target))


def _merge(lower: str | None, upper: str | None, target: str) -> None:
    above = {entry.name: entry for entry in os.scandir(upper)} if upper else {}
    below = {entry.name: entry for entry in os.scandir(lower)} if lower and not _opaque(upper) else {}
    for name in above.keys() | below.keys():
        own, old = above.get(name), below.get(name)
        entry = own or old
        assert entry is not None
        facts = entry.stat(follow_symlinks=False)
        if own and whiteout.is_device(facts):
            continue
        if not stat.S_ISDIR(facts.st_mode):
            _link(entry.path, f"{target}/{name}", facts)
            continue
        Path(f"{target}/{name}").mkdir(mode=0o700)
        beneath = old.path if old and old.is_dir(follow_symlinks=False) else None
        _merge(beneath, own.path if own else None, f"{target}/{name}")
    source = upper or lower
    assert source is not None
    copy_attributes(source, target, os.lstat(source))


def _link(source: str, place: str, facts: os.stat_result) -> None:
    try:
        os.link(source, place, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.EMLINK:
            raise
        copy_leaf(source, place, facts)


def _opaque(directory: str | None) -> bool:
    try:
        return directory is not None and os.getxattr(directory, whiteout.OPAQUE_XATTR) == b"y"
    except OSError:
        return False
