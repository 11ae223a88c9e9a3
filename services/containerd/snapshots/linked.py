"""A whole tree made of two by hard links: what an overlay of `upper` on `lower` shows, as plain directories."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from protos.ladder import Below, Ladder
from services.containerd.diff import whiteout
from services.containerd.snapshots.copying import copy_attributes, copy_leaf, run


def merge(lower: Path, upper: Path, target: Path) -> None:
    """Fill the empty directory `target`; both must lie on its file system."""
    with Ladder(lower) as old, Ladder(upper) as new, Ladder(target) as made:
        run(_merge(old, new, made))


def _merge(lower: Ladder | None, upper: Ladder | None, target: Ladder) -> Iterator[str | Below[str]]:
    above = dict(upper.entries()) if upper else {}
    below = dict(lower.entries()) if lower and not (upper and _opaque(upper)) else {}
    for name, facts in (below | above).items():
        source = upper if name in above else lower
        assert source is not None
        if name in above and whiteout.is_device(facts):
            continue
        if not stat.S_ISDIR(facts.st_mode):
            _link(source.path(name), target.path(name), facts)
            continue
        Path(target.path(name)).mkdir(mode=0o700)
        old_one, new_one = _down(lower, name in below, name), _down(upper, name in above, name)
        with old_one as old, new_one as new, target.down(name) as made:
            if made is not None and (old is not None or new is not None):
                yield Below(_merge(old, new, made))
    source = upper or lower
    assert source is not None
    copy_attributes(source.path("."), target.path("."), os.fstat(source.lowest))


def _down(directory: Ladder | None, wanted: bool, name: str) -> AbstractContextManager[Ladder | None]:
    return directory.down(name) if directory is not None and wanted else nullcontext()


def _link(source: str, place: str, facts: os.stat_result) -> None:
    try:
        os.link(source, place, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.EMLINK:
            raise
        copy_leaf(source, place, facts)


def _opaque(directory: Ladder) -> bool:
    try:
        return os.getxattr(directory.path("."), whiteout.OPAQUE_XATTR) == b"y"
    except OSError:
        return False
