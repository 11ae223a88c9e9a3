"""Removes directory trees of any depth: a container makes them deeper than a path can name or Python can recurse."""

import errno
import os
import shutil
from typing import Final

_DEEP: Final = (errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG)
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Name = str | bytes | os.PathLike[str]


def remove(path: Name, parent: int | None = None) -> None:
    """Remove a directory with all it holds; a relative path lies in the directory `parent`. Blocks."""
    try:
        shutil.rmtree(path, dir_fd=parent)
        return
    except RecursionError:
        pass
    except OSError as error:
        if error.errno not in _DEEP:
            raise
    top = os.open(path, _DIRECTORY, dir_fd=parent)
    try:
        _flatten(top)
    finally:
        os.close(top)
    os.rmdir(path, dir_fd=parent)


def _flatten(top: int) -> None:
    """Empty a directory level by level: what lies in its directories is moved up into it."""
    pending = _clear(top)
    while pending:
        name = pending.pop()
        place = os.open(name, _DIRECTORY, dir_fd=top)
        try:
            for number, below in enumerate(_clear(place)):
                moved = f".{os.urandom(8).hex()}-{number}"
                os.rename(below, moved, src_dir_fd=place, dst_dir_fd=top)
                pending.append(moved)
        finally:
            os.close(place)
        os.rmdir(name, dir_fd=top)


def _clear(place: int) -> list[str]:
    """Remove all but directories; the names of those."""
    with os.scandir(place) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    for name, is_directory in entries:
        if not is_directory:
            os.unlink(name, dir_fd=place)
    return [name for name, is_directory in entries if is_directory]
