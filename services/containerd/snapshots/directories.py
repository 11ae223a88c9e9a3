"""Numbered directories below one root, removed in two steps: out of sight at once, from the disk later."""

import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from protos import trees
from protos.ladder import Below, Ladder, everything, flat

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
    sizes = {_identity(facts): facts.st_size for facts in everything(root) if not stat.S_ISDIR(facts.st_mode)}
    return sum(sizes.values())


def added_usage(root: Path, base: Path) -> tuple[int, int]:
    """The same without what is hard-linked with `base`."""
    return _usage(root, {_identity(facts) for facts in everything(base)}, lambda name: False)


def changed_usage(root: Path, base: Path, look: Callable[[os.stat_result], object]) -> tuple[int, int]:
    """The same of what is not as it was in `base`; what is as it was looks the same."""
    with Ladder(root) as new, Ladder(base) as old:
        changed: Iterator[os.stat_result] = flat(_changed(new, old, look))
        sizes = {facts.st_ino: _bytes(facts) for facts in changed}
    return sum(sizes.values()), len(sizes)


def _changed(
    new: Ladder, old: Ladder | None, look: Callable[[os.stat_result], object]
) -> Iterator[os.stat_result | Below[os.stat_result]]:
    was = {name: look(facts) for name, facts in old.entries()} if old else {}
    for name, facts in new.entries():
        if was.get(name) != look(facts):
            yield facts
        if stat.S_ISDIR(facts.st_mode):
            with new.down(name) as inner, old.down(name) if old else nullcontext() as beneath:
                if inner is not None:
                    yield Below(_changed(inner, beneath, look))


def _bytes(facts: os.stat_result) -> int:
    """On disk; without what a file system has set aside for a file that may grow."""
    held = facts.st_blocks * 512
    return min(held, -(-facts.st_size // 4096) * 4096) if stat.S_ISREG(facts.st_mode) else held


def _usage(root: Path, known: set[tuple[int, int]], ignored: Callable[[str], bool]) -> tuple[int, int]:
    facts = root.stat()
    size, seen = _bytes(facts), {_identity(facts)}
    for facts in everything(root, ignored):
        identity = _identity(facts)
        if identity not in seen and identity not in known:
            seen.add(identity)
            size += _bytes(facts)
    return size, len(seen)


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino
