"""A driver whose snapshots are numbered directories."""

from collections.abc import Mapping
from pathlib import Path

from services.containerd.snapshots.directories import Directories
from services.containerd.snapshots.driver import Driver


class Numbered(Driver):
    def __init__(self, root: Path, options: Mapping[str, str] = {}) -> None:
        self.root = root
        self._directories = Directories(root)

    def open(self, known: set[int]) -> None:
        self._directories.open(known)

    def discard(self, number: int) -> None:
        self._directories.discard(number)

    def sweep(self) -> None:
        self._directories.sweep()
