"""Directory trees of any depth: a container makes them deeper than a path can name or Python can recurse."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from typing import Final

_DEEP: Final = (errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG)
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STEP: Final = 4000
"""Bytes of a path that the kernel takes at once."""

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


@contextlib.contextmanager
def reachable(directory: str) -> Iterator[str | int]:
    """A directory as `os.scandir` takes it: its path, or where that is too long a descriptor."""
    if len(directory) < _STEP:
        yield directory
        return
    place = os.open("/", _DIRECTORY)
    try:
        for part in _steps(directory):
            place, before = os.open(part, _DIRECTORY, dir_fd=place), place
            os.close(before)
        yield place
    finally:
        os.close(place)


def _steps(path: str) -> Iterator[str]:
    """A long absolute path as relative ones that are short enough."""
    rest = path.lstrip("/")
    while len(os.fsencode(rest)) >= _STEP:
        at = rest.rindex("/", 0, _STEP // 4)  # a character has four bytes at most
        yield rest[:at]
        rest = rest[at:].lstrip("/")
    yield rest
