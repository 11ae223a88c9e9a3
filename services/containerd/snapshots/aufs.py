"""Storage driver `aufs`, Docker's first: a layer is a branch `diff`, whiteouts in it are files `.wh.NAME`.

Only kernels patched with aufs mount it (Ubuntu's had it until 20.04). Pseudo-links are switched off: they would have to
be flushed by a tool before every unmount, and a container's root goes with its mount namespace, before which nobody is
asked. A file with several names is thus copied up by one name alone, as overlayfs does it.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.containerd.diff import implied, whiteout
from services.containerd.diff.mounted import mounted
from services.containerd.snapshots import backing, stacking
from services.containerd.snapshots.directories import TRASH, disk_usage
from services.containerd.snapshots.numbered import Numbered

_UNFIT: Final = ("aufs", "btrfs", "ecryptfs")
"""File systems that cannot be a branch."""
_XINO: Final = "/dev/shm/aufs.xino"
"""Inode numbers are kept there: not on the branch, where it would slow down every copy."""
_DATA_LIMIT: Final = os.sysconf("SC_PAGE_SIZE") - 1


class Aufs(Numbered):
    name = "aufs"
    docker = "aufs"
    rebases = True
    quick = True

    def __init__(self, root: Path, options: Mapping[str, str] = {}) -> None:
        for key in options:
            raise errdefs.InvalidArgument(f"aufs: unknown option {key}")
        super().__init__(root)
        self.dirperm1 = False
        """Whether the kernel checks a directory's permissions on its topmost branch alone."""

    def refusal(self, scratch: Path) -> str:
        if not backing.known("aufs"):
            return "AUFS was not found in /proc/filesystems: this kernel has no aufs"
        found = backing.filesystem(self.root)
        if found in _UNFIT:
            return f"aufs is not supported over {found}"
        self.dirperm1 = self._tries_dirperm1(scratch)
        return ""

    def _tries_dirperm1(self, scratch: Path) -> bool:
        trial = self.root / TRASH / "trial"
        layers = [trial / "base", trial / "union"]
        for layer in layers:
            layer.mkdir(parents=True, exist_ok=True)
        try:
            with mounted(stack(layers[0], [layers[1]], dirperm1=True), scratch):
                return True
        except errdefs.FailedPrecondition:
            return False
        finally:
            shutil.rmtree(trial)

    def make(self, number: int, parents: list[int], *, writable: bool, size: int = 0) -> None:
        if size:
            raise errdefs.InvalidArgument("--storage-opt is not supported for aufs")
        path = self._directories.path(number)
        path.mkdir(mode=0o700)
        branch = path / "diff"
        branch.mkdir(mode=0o755)
        if parents:
            stacking.copy_owner(self._branch(parents[0]), branch)

    def mounts(self, number: int, parents: list[int], *, writable: bool) -> list[Mount]:
        branches = [self._branch(parent) for parent in parents]
        if not branches:
            return [stacking.bind(str(self._branch(number)), writable=writable)]
        if writable:
            return stack(self._branch(number), branches, dirperm1=self.dirperm1)
        if len(branches) == 1:
            return [stacking.bind(str(branches[0]), writable=False)]
        return stack(None, branches, dirperm1=self.dirperm1)

    def rebase(self, number: int, parents: list[int]) -> None:
        """Directories that the layer's archive only implied get their parents' owner and mode now."""
        implied.settle(self._branch(number), [self._branch(parent) for parent in parents])

    def usage(self, number: int, parents: list[int]) -> tuple[int, int]:
        return disk_usage(self._branch(number), lambda name: name.startswith(whiteout.META_PREFIX.decode()))

    def status(self) -> list[tuple[str, str]]:
        layers = sum(1 for entry in os.scandir(self.root) if entry.name.isdecimal())
        return [
            ("Root Dir", str(self.root)), ("Backing Filesystem", backing.filesystem(self.root)), ("Dirs", str(layers)),
            ("Dirperm1 Supported", str(self.dirperm1).lower()),
        ]

    def _branch(self, number: int) -> Path:
        return self._directories.path(number) / "diff"


def stack(top: Path | None, branches: Sequence[Path], *, dirperm1: bool) -> list[Mount]:
    """Mounts of branches, the topmost first; what does not fit into one page of options is appended by remounts."""
    tail = ["dio", "noplink", f"xino={_XINO}", *(["dirperm1"] if dirperm1 else []), *([] if top else ["ro"])]
    room = _DATA_LIMIT - len(",".join(["", *tail]))
    words = ([f"{top}=rw"] if top else []) + [f"{branch}=ro+wh" for branch in branches]
    first = _fitting(words, room - len("br:"), ":")
    mounts = [Mount(type="aufs", source="none", options=["br:" + ":".join(words[:first]), *tail])]
    rest = [f"append:{word}" for word in words[first:]]
    while rest:
        count = _fitting(rest, _DATA_LIMIT, ",")
        mounts.append(Mount(type="aufs", source="none", options=["remount", *rest[:count]]))
        rest = rest[count:]
    return mounts


def _fitting(words: Sequence[str], room: int, separator: str) -> int:
    """How many of the words fit into so many bytes when joined; at least one."""
    used = 0
    for count, word in enumerate(words):
        used += len(os.fsencode(word)) + (len(separator) if count else 0)
        if used > room:
            return max(count, 1)
    return len(words)
