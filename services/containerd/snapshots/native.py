"""Storage driver `native`: a snapshot is a whole copy of its parent. Works on any file system; Docker calls it vfs."""

from pathlib import Path

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.containerd.snapshots.copying import copy_tree
from services.containerd.snapshots.directories import Directories, disk_usage


class Native:
    name = "native"
    rebases = False
    quick = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self._directories = Directories(root)
        self.discard = self._directories.discard
        self.sweep = self._directories.sweep

    def open(self, known: set[int]) -> None:
        self._directories.open(known)

    def make(self, number: int, parents: list[int], *, writable: bool) -> None:
        path = self._directories.path(number)
        if parents and not writable:
            return
        path.mkdir(mode=0o755)
        if parents:
            copy_tree(self._directories.path(parents[0]), path)

    def mounts(self, number: int, parents: list[int], *, writable: bool) -> list[Mount]:
        shown = parents[0] if parents and not writable else number
        source = str(self._directories.path(shown))
        return [Mount(type="bind", source=source, options=["rw" if writable else "ro", "rbind"])]

    def rebase(self, number: int, parents: list[int]) -> None:
        raise errdefs.Unimplemented("a native snapshot is a copy of its parent from the start")

    def labels(self, number: int) -> dict[str, str]:
        return {}

    def usage(self, number: int, parents: list[int]) -> tuple[int, int]:
        """A copy takes what it takes; a view takes nothing."""
        path = self._directories.path(number)
        return disk_usage(path) if path.exists() else (0, 0)
