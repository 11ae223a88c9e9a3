"""Storage driver `overlay`, Docker's first on overlayfs: one lower directory, for kernels that know no more.

A committed snapshot is a whole tree, `root`, whose files are hard links into its parent's; a writable one is an upper
directory on the tree of its parent. Committing links the two together; the upper directory that is left then holds
nothing that the tree does not hold, and goes with it.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from protos import errdefs
from protos import snapshots as wire
from protos.containerd.types.mount_pb2 import Mount
from services.containerd.snapshots import backing, linked, stacking
from services.containerd.snapshots.directories import added_usage, disk_usage
from services.containerd.snapshots.numbered import Numbered


class Single(Numbered):
    name = "overlay"
    docker = "overlay"
    quick = True
    seals = True

    def __init__(self, root: Path, options: Mapping[str, str] = {}) -> None:
        for key in options:
            raise errdefs.InvalidArgument(f"overlay: unknown option {key}")
        super().__init__(root)
        self._options = stacking.switched_off()

    def refusal(self, scratch: Path) -> str:
        return stacking.refusal(self.root, scratch, self.docker)

    def make(self, number: int, parents: list[int], *, writable: bool, size: int = 0) -> None:
        if size:
            raise errdefs.InvalidArgument("--storage-opt is not supported for overlay")
        path = self._directories.path(number)
        path.mkdir(mode=0o700)
        if not parents:
            (path / "root").mkdir(mode=0o755)
        elif writable:
            (path / "upper").mkdir(mode=0o755)
            (path / "work").mkdir(mode=0o700)
            stacking.copy_owner(self._tree(parents[0]), path / "upper")

    def mounts(self, number: int, parents: list[int], *, writable: bool) -> list[Mount]:
        if not parents:
            return [stacking.bind(str(self._tree(number)), writable=writable)]
        if not writable:
            return [stacking.bind(str(self._tree(parents[0])), writable=False)]
        path = self._directories.path(number)
        places = [f"workdir={path / 'work'}", f"upperdir={path / 'upper'}", f"lowerdir={self._tree(parents[0])}"]
        return [Mount(type="overlay", source="overlay", options=[*self._options, *places])]

    def seal(self, number: int, parents: list[int]) -> None:
        if not parents:
            return
        path = self._directories.path(number)
        half = path / "root.new"
        for leftover in (half, path / "root"):
            if leftover.exists():
                shutil.rmtree(leftover)
        half.mkdir(mode=0o755)
        linked.merge(self._tree(parents[0]), path / "upper", half)
        half.rename(path / "root")

    def labels(self, number: int) -> dict[str, str]:
        tree = self._tree(number)
        upper = tree.with_name("upper")
        labels = {"containerd.io/snapshot/overlay.upperdir": str(upper)} if upper.exists() else {}
        return {**labels, wire.ROOT: str(tree)} if tree.exists() else labels

    def usage(self, number: int, parents: list[int]) -> tuple[int, int]:
        path = self._directories.path(number)
        if (path / "root").exists():
            return added_usage(path / "root", self._tree(parents[0])) if parents else disk_usage(path / "root")
        return disk_usage(path / "upper") if (path / "upper").exists() else (0, 0)

    def status(self) -> list[tuple[str, str]]:
        return [("Backing Filesystem", backing.filesystem(self.root)), ("Supports d_type", "true")]

    def _tree(self, number: int) -> Path:
        return self._directories.path(number) / "root"
