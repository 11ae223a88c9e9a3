"""Numbered directories below one root, removed in two steps: out of sight at once, from the disk later."""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

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

    def sweep(self) -> None:
        for entry in os.scandir(self._trash):
            shutil.rmtree(entry.path)


def disk_usage(root: Path) -> tuple[int, int]:
    """Bytes on disk and inodes of a tree, a hard-linked file counted once. What goes meanwhile is not counted."""
    facts = root.stat()
    size, seen = facts.st_blocks * 512, {(facts.st_dev, facts.st_ino)}
    pending = [str(root)]
    while pending:
        for entry, facts in _entries(pending.pop()):
            if (facts.st_dev, facts.st_ino) not in seen:
                seen.add((facts.st_dev, facts.st_ino))
                size += facts.st_blocks * 512
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
    return size, len(seen)


def _entries(directory: str) -> Iterator[tuple["os.DirEntry[str]", os.stat_result]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as found:
        for entry in found:
            with contextlib.suppress(FileNotFoundError):
                yield entry, entry.stat(follow_symlinks=False)
