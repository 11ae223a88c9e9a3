"""What a storage driver does for a snapshotter: directories and mounts. Keys, kinds and rules are snapshotter.py's."""

from pathlib import Path
from typing import Protocol

from protos.containerd.types.mount_pb2 import Mount


class Driver(Protocol):
    """Snapshots are numbers here; `parents` lists ancestors, the nearest first.

    A snapshot's directory comes and goes whole: `make` leaves nothing behind when it fails, `discard` moves a
    directory out of sight at once, `sweep` deletes for good.
    """

    name: str
    root: Path
    rebases: bool
    """Whether a snapshot made without a parent may get one when it is committed."""
    quick: bool
    """Whether `make` takes microseconds, so that it need not run in a thread."""

    def open(self, known: set[int]) -> None:
        """Make the driver's directories, and discard what no number in `known` owns."""

    def make(self, number: int, parents: list[int], *, writable: bool) -> None:
        """Make the directory of a new snapshot."""

    def mounts(self, number: int, parents: list[int], *, writable: bool) -> list[Mount]:
        """How the snapshot is mounted; a committed one is never mounted itself, but viewed."""

    def rebase(self, number: int, parents: list[int]) -> None:
        """Give a snapshot made without parents these; only where `rebases`."""

    def discard(self, number: int) -> None:
        """Move a snapshot's directory out of sight; not an error where there is none."""

    def sweep(self) -> None:
        """Delete what was discarded. Blocks."""

    def labels(self, number: int) -> dict[str, str]:
        """What to say of a snapshot beside its own labels: where it lies, in containerd's spelling."""

    def usage(self, number: int, parents: list[int]) -> tuple[int, int]:
        """Bytes and inodes that this snapshot adds to its parents'. Blocks."""
