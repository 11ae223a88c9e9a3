"""Storage driver `native`: a snapshot is a whole copy of its parent. Works on any file system; Docker calls it vfs."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.containerd.snapshots import options
from services.containerd.snapshots.copying import copy_tree
from services.containerd.snapshots.directories import changed_usage, disk_usage
from services.containerd.snapshots.numbered import Numbered
from services.containerd.snapshots.quota import Projects


class Native(Numbered):
    name = "native"
    docker = "vfs"

    def __init__(self, root: Path, options: Mapping[str, str] = {}) -> None:
        super().__init__(root)
        self._size = _parse(options)
        self._projects: Projects | None = None

    def open(self, known: set[int]) -> None:
        super().open(known)
        try:
            self._projects = Projects(self.root)
        except OSError as error:
            if self._size:
                raise errdefs.FailedPrecondition(_NO_QUOTA) from error

    def make(self, number: int, parents: list[int], *, writable: bool, size: int = 0) -> None:
        path = self._directories.path(number)
        if parents and not writable:
            return
        if size and not self._projects:
            raise errdefs.InvalidArgument(_NO_QUOTA)
        path.mkdir(mode=0o755)
        if self._projects and writable and parents and (size or self._size):
            self._projects.confine(path, number, size or self._size)
        if parents:
            copy_tree(self._directories.path(parents[0]), path)

    def mounts(self, number: int, parents: list[int], *, writable: bool) -> list[Mount]:
        shown = parents[0] if parents and not writable else number
        source = str(self._directories.path(shown))
        return [Mount(type="bind", source=source, options=["rw" if writable else "ro", "rbind"])]

    def discard(self, number: int) -> None:
        super().discard(number)
        if self._projects:
            self._projects.release(number)

    def labels(self, number: int) -> dict[str, str]:
        return {}

    def usage(self, number: int, parents: list[int]) -> tuple[int, int]:
        """What differs from the parent, as Docker counts it; the copy takes more. A view takes nothing."""
        path = self._directories.path(number)
        if not path.exists():
            return 0, 0
        return changed_usage(path, self._directories.path(parents[0]), _look) if parents else disk_usage(path)


_NO_QUOTA = "Filesystem does not support, or has not enabled quotas"


def _look(facts: os.stat_result) -> tuple[object, ...]:
    """What a copy shares with its original; directories change with what is in them."""
    owner = (facts.st_mode, facts.st_uid, facts.st_gid, facts.st_rdev)
    return owner if stat.S_ISDIR(facts.st_mode) else (*owner, facts.st_size, facts.st_mtime_ns)


def _parse(given: Mapping[str, str]) -> int:
    for key in given:
        if key not in ("size", "vfs.size"):
            raise errdefs.InvalidArgument(f"unknown option {key} for vfs")
    return max((options.size(text) for text in given.values()), default=0)
