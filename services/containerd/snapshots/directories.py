"""Numbered directories below one root, removed in two steps: out of sight at once, from the disk later."""

import contextlib
import logging
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from protos import trees

log = logging.getLogger("snapshots")

TRASH: Final = "trash"


class Directories:
    def __init__(self, root: Path) -> None:
        self.root = root
        self._trash = root / TRASH

    def open(self, known: set[int]) -> None:
        """Make the root, and discard what no number in `known` owns."""
        self._trash.mkdir(parents=True, exist_ok=True, mode=0o700)
        for entry in os.scandir(self.root):
            if entry.name.isdecimal() and int(entry.name) not in known:
                log.info("discarding a half-made snapshot directory=%s", entry.path)
                self.discard(int(entry.name))

    def path(self, number: int) -> Path:
        return self.root / str(number)

    def discard(self, number: int) -> None:
        try:
            self.path(number).rename(self._trash / f"{number}.{os.urandom(4).hex()}")
        except FileNotFoundError:
            return

    def sweep(self, remove: Callable[[Path], object] = trees.remove) -> None:
        for place in list(self._trash.iterdir()):
            remove(place)


def disk_usage(root: Path, ignored: Callable[[str], bool] = lambda name: False) -> tuple[int, int]:
    """Bytes on disk and inodes of a tree, a hard-linked file counted once. What goes meanwhile is not counted."""
    return _usage(root, set(), ignored)


def file_bytes(root: Path) -> int:
    """Sizes of all files and links of a tree added up, each inode once, whatever they take on disk: Docker's sum."""
    sizes = {(facts.st_dev, facts.st_ino): facts.st_size for _, facts in _walk(str(root))
             if not stat.S_ISDIR(facts.st_mode)}
    return sum(sizes.values())


def added_usage(root: Path, base: Path) -> tuple[int, int]:
    """The same without what is hard-linked with `base`."""
    return _usage(root, {(facts.st_dev, facts.st_ino) for _, facts in _walk(str(base))}, lambda name: False)


def changed_usage(root: Path, base: Path, look: Callable[[os.stat_result], object]) -> tuple[int, int]:
    """The same of what is not as it was in `base`; what is as it was looks the same."""
    size, seen, pending = 0, set(), [(str(root), str(base))]
    while pending:
        new, old = pending.pop()
        was = {entry.name: look(facts) for entry, facts in _entries(old)}
        for entry, facts in _entries(new):
            if was.get(entry.name) != look(facts) and facts.st_ino not in seen:
                seen.add(facts.st_ino)
                size += _bytes(facts)
            if entry.is_dir(follow_symlinks=False):
                pending.append((f"{new}/{entry.name}", f"{old}/{entry.name}"))
    return size, len(seen)


def _bytes(facts: os.stat_result) -> int:
    """On disk; without what a file system has set aside for a file that may grow."""
    held = facts.st_blocks * 512
    return min(held, -(-facts.st_size // 4096) * 4096) if stat.S_ISREG(facts.st_mode) else held


def _usage(root: Path, known: set[tuple[int, int]], ignored: Callable[[str], bool]) -> tuple[int, int]:
    facts = root.stat()
    size, seen = _bytes(facts), {(facts.st_dev, facts.st_ino)}
    for _entry, facts in _walk(str(root), ignored):
        identity = (facts.st_dev, facts.st_ino)
        if identity not in seen and identity not in known:
            seen.add(identity)
            size += _bytes(facts)
    return size, len(seen)


def _walk(
    root: str, ignored: Callable[[str], bool] = lambda name: False
) -> Iterator[tuple["os.DirEntry[str]", os.stat_result]]:
    pending = [root]
    while pending:
        directory = pending.pop()
        for entry, facts in _entries(directory):
            if ignored(entry.name):
                continue
            yield entry, facts
            if entry.is_dir(follow_symlinks=False):
                pending.append(f"{directory}/{entry.name}")


def _entries(directory: str) -> Iterator[tuple["os.DirEntry[str]", os.stat_result]]:
    with contextlib.suppress(FileNotFoundError), trees.reachable(directory) as place, os.scandir(place) as found:
        for entry in found:
            with contextlib.suppress(FileNotFoundError):
                yield entry, entry.stat(follow_symlinks=False)
