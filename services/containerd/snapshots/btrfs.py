"""Storage driver `btrfs`: a snapshot is a subvolume, made of its parent's by the file system in no time and space."""

import os
from collections.abc import Mapping
from pathlib import Path

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.containerd.snapshots import backing, options, stacking, subvolume
from services.containerd.snapshots.directories import changed_usage, disk_usage
from services.containerd.snapshots.numbered import Numbered


class Btrfs(Numbered):
    name = "btrfs"
    docker = "btrfs"

    def __init__(self, root: Path, options: Mapping[str, str] = {}) -> None:
        super().__init__(root)
        self._least = _parse(options)
        self._limits = False
        """Whether quotas were switched on; that costs every write something, so it waits for the first limit."""

    def refusal(self, scratch: Path) -> str:
        found = backing.filesystem(self.root)
        if found == subvolume.MAGIC:
            return ""
        return f"prerequisites for driver not satisfied (wrong filesystem?): {self.root} lies on {found}, not on btrfs"

    def make(self, number: int, parents: list[int], *, writable: bool, size: int = 0) -> None:
        path = self._directories.path(number)
        if size and size < self._least:
            raise errdefs.InvalidArgument(f"btrfs: storage size cannot be less than {_human(self._least)}")
        if parents and not writable:
            return
        if parents:
            subvolume.snapshot(self._directories.path(parents[0]), path)
        else:
            subvolume.create(path)
            path.chmod(0o755)
        if size:
            self._limit(path, size)

    def _limit(self, path: Path, size: int) -> None:
        if not self._limits:
            subvolume.enable_quotas(self.root)
            self._limits = True
        subvolume.limit(path, size)

    def mounts(self, number: int, parents: list[int], *, writable: bool) -> list[Mount]:
        shown = parents[0] if parents and not writable else number
        return [stacking.bind(str(self._directories.path(shown)), writable=writable)]

    def sweep(self) -> None:
        self._directories.sweep(subvolume.remove_tree)

    def usage(self, number: int, parents: list[int]) -> tuple[int, int]:
        """What was written since the snapshot was taken; a view takes nothing."""
        path = self._directories.path(number)
        if not path.exists():
            return 0, 0
        return changed_usage(path, self._directories.path(parents[0]), _look) if parents else disk_usage(path)

    def status(self) -> list[tuple[str, str]]:
        return [("Btrfs", "")]


def _look(facts: os.stat_result) -> tuple[int, int]:
    """What is untouched since the snapshot has the number and the time of change that it had."""
    return facts.st_ino, facts.st_ctime_ns


def _parse(given: Mapping[str, str]) -> int:
    for key in given:
        if key != "btrfs.min_space":
            raise errdefs.InvalidArgument(f'Unknown option {key} ("btrfs" driver)')
    return options.size(given.get("btrfs.min_space", "0"))


def _human(size: float) -> str:
    """As Docker's HumanSize: four digits, powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.4g}{unit}"
        size /= 1000
    return f"{size:.4g}PB"
