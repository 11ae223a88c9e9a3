"""A faithful copy of a directory tree: owners, modes, times, xattrs, devices, hard links, holes."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from protos.ladder import Below, Ladder, flat

FICLONE: Final = 0x40049409
_CHUNK: Final = 8 << 20


def copy_tree(source: Path, target: Path) -> None:
    """Copy what lies in `source` into the empty directory `target`, and the root's attributes."""
    with Ladder(source) as old, Ladder(target) as new:
        run(_copy_directory(old, new, "", Links(target)))


def run(steps: Iterator[str | Below[str]]) -> None:
    for _ in flat(steps):
        pass


class Links:
    """Where in the target files lie that have more names."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._names: dict[tuple[int, int], str] = {}

    def made(self, place: str, name: str, facts: os.stat_result) -> bool:
        """Whether the file, called `name` in the target, has become a link there; if not, its next name will be."""
        if facts.st_nlink < 2:
            return False
        first = self._names.setdefault((facts.st_dev, facts.st_ino), name)
        if first == name:
            return False
        top = os.open(self._target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.link(first, place, src_dir_fd=top, follow_symlinks=False)
        finally:
            os.close(top)
        return True


def _copy_directory(old: Ladder, new: Ladder, prefix: str, links: Links) -> Iterator[str | Below[str]]:
    for name, facts in old.entries():
        place = new.path(name)
        if stat.S_ISDIR(facts.st_mode):
            Path(place).mkdir(mode=0o700)
            with old.down(name) as inner, new.down(name) as made:
                if inner is not None and made is not None:
                    yield Below(_copy_directory(inner, made, f"{prefix}{name}/", links))
        elif not links.made(place, prefix + name, facts):
            copy_leaf(old.path(name), place, facts)
    copy_attributes(old.path("."), new.path("."), os.fstat(old.lowest))


def copy_leaf(source: str, place: str, facts: os.stat_result) -> None:
    if stat.S_ISREG(facts.st_mode):
        _copy_file(source, place, facts.st_size)
    elif stat.S_ISLNK(facts.st_mode):
        Path(place).symlink_to(Path(source).readlink())
    elif stat.S_ISSOCK(facts.st_mode):
        os.mknod(place, stat.S_IFSOCK | 0o600)
    else:
        os.mknod(place, facts.st_mode, facts.st_rdev)
    copy_attributes(source, place, facts)


def copy_attributes(source: str, place: str, facts: os.stat_result) -> None:
    os.chown(place, facts.st_uid, facts.st_gid, follow_symlinks=False)
    for name in os.listxattr(source, follow_symlinks=False):
        os.setxattr(place, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
    if not stat.S_ISLNK(facts.st_mode):
        Path(place).chmod(stat.S_IMODE(facts.st_mode))
    os.utime(place, ns=(facts.st_atime_ns, facts.st_mtime_ns), follow_symlinks=False)


def _copy_file(source: str, place: str, size: int) -> None:
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        writing = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _copy_bytes(reading, writing, size)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _copy_bytes(reading: int, writing: int, size: int) -> None:
    try:
        fcntl.ioctl(writing, FICLONE, reading)
    except OSError:
        at = 0
        while at < size:
            at = _copy_extent(reading, writing, at, size)
        os.ftruncate(writing, size)


def _copy_extent(reading: int, writing: int, at: int, size: int) -> int:
    """Copy the next run of data after `at`, leaving holes; where it ends."""
    try:
        start = os.lseek(reading, at, os.SEEK_DATA)
        end = min(os.lseek(reading, start, os.SEEK_HOLE), size)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size
        raise
    while start < end:
        copied = os.copy_file_range(reading, writing, min(end - start, _CHUNK), start, start)
        if not copied:
            return size
        start += copied
    return end
