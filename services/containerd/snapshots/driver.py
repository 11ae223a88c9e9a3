"""What a storage driver does for a snapshotter: directories and mounts. Keys, kinds and rules are snapshotter.py's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount


class Driver(Protocol):
    """Snapshots are numbers here; `parents` lists ancestors, the nearest first.

    A snapshot's directory comes and goes whole: `make` leaves nothing behind when it fails, `discard` moves a
    directory out of sight at once, `sweep` deletes for good. A driver derives from this class for what is seldom done.
    """

    name: str
    docker: str
    """Docker's name for it, the prefix of its options."""
    root: Path
    rebases: bool = False
    """Whether a snapshot made without a parent may get one when it is committed."""
    quick: bool = False
    """Whether `make` takes microseconds, so that it need not run in a thread."""
    seals: bool = False
    """Whether a snapshot is remade when it is committed."""
    lazy: bool = False
    """Whether opening it changes something on this machine: then only who names it, or has used it, gets it."""

    def __init__(self, root: Path, options: Mapping[str, str] = {}) -> None:
        """`options` by Docker's names; InvalidArgument in Docker's words. Touches nothing yet."""

    def refusal(self, scratch: Path) -> str:
        """Why this machine cannot serve it; empty where it can. `scratch` is a directory for trials."""
        return ""

    def open(self, known: set[int]) -> None:
        """Make the driver's directories, and discard what no number in `known` owns."""

    def make(self, number: int, parents: list[int], *, writable: bool, size: int = 0) -> None:
        """Make the directory of a new snapshot; `size` limits the bytes it may take, 0 leaves it to the options.

        InvalidArgument in Docker's words where there can be no limit.
        """

    def mounts(self, number: int, parents: list[int], *, writable: bool) -> list[Mount]:
        """How the snapshot is mounted; a committed one is never mounted itself, but viewed."""
        ...

    def seal(self, number: int, parents: list[int]) -> None:
        """Remake a writable snapshot as one that others can build on; only where `seals`. Blocks.

        Repeated after a crash, and possible though its mounts are in use.
        """
        raise errdefs.Unimplemented(f"{self.name} commits a snapshot as it is")

    def rebase(self, number: int, parents: list[int]) -> None:
        """Give a snapshot made without parents these; only where `rebases`."""
        raise errdefs.Unimplemented(f"a snapshot of {self.name} cannot be given a parent afterwards")

    def discard(self, number: int) -> None:
        """Move a snapshot's directory out of sight; not an error where there is none."""

    def sweep(self) -> None:
        """Delete what was discarded. Blocks."""

    def close(self) -> None:
        """Give back what no mount needs; a crash does without."""
        return

    def labels(self, number: int) -> dict[str, str]:
        """What to say of a snapshot beside its own labels: where it lies, in containerd's spelling."""
        return {}

    def usage(self, number: int, parents: list[int]) -> tuple[int, int]:
        """Bytes and inodes that this snapshot adds to its parents'. Blocks."""
        ...

    def status(self) -> list[tuple[str, str]]:
        """Rows of `docker info`."""
        return []
