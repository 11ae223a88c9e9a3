"""Places in which a mount stands while the runtime is told of it: `volume-subpath`, and images that are mounted.

What lies inside a volume is a container's: a path handed on as text could be turned into a link on its way. So it is
opened beneath the volume, and mounted by descriptor on a place of ours, below a mount that is private to the host.
"""

import contextlib
import hashlib
import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.dockerd import beneath, linux, rootfs
from services.dockerd.beneath import closing

_CLONE: Final = linux.OPEN_TREE_CLONE | linux.AT_EMPTY_PATH

class Pins:
    """Below `root`, `<owner>/<hash>` is the place of one mount. All of it blocks: for threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()

    def volume(self, path: str, inside: str, owner: str) -> str:
        """A place with the directory or file `inside` the volume at `path`."""
        with closing(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as top:
            try:
                source = beneath.open_in(top, inside, os.O_PATH)
            except OSError as error:
                problem = (error.strerror or str(error)).lower()
                raise errdefs.InvalidArgument(f"cannot access path {path}/{inside}: {problem}") from error
        with closing(source), closing(linux.open_tree(source, "", _CLONE)) as tree:
            return self._pin(tree, self._place(owner, f"{path}\0{inside}"))

    def image(self, mounts: Sequence[Mount], inside: str, name: str, owner: str) -> str:
        """A place with the files of an image, read-only, or with what is `inside` it."""
        with closing(rootfs.viewed(mounts)) as tree:
            whole = self._pin(tree, self._place(owner, name))
        return self.volume(whole, inside, owner) if inside else whole

    def drop(self, owner: str) -> None:
        """Take away the places of an owner; nothing where there are none."""
        with self._lock:
            if not (self.root / owner).is_dir():
                return
            self._clear(self.root / owner)
            with contextlib.suppress(OSError):
                if not any(self.root.iterdir()):
                    _unmount(self.root)

    def sweep(self) -> None:
        """Take away all that an earlier life has left."""
        for directory in list(self.root.iterdir()) if self.root.is_dir() else ():
            self.drop(directory.name)

    def _place(self, owner: str, key: str) -> Path:
        return self.root / owner / hashlib.sha256(key.encode()).hexdigest()[:16]

    def _pin(self, tree: int, place: Path) -> str:
        """Mount the detached tree at the place; nothing where it is mounted already."""
        with self._lock:
            self._make(place, tree)
            if not linux.is_mount(str(place)):
                with closing(os.open(place, os.O_PATH | os.O_CLOEXEC)) as target:
                    linux.move_mount(tree, target)
        return str(place)

    def _make(self, place: Path, tree: int) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not linux.is_mount(str(self.root)):
            linux.mount(str(self.root), str(self.root), "", linux.MS_BIND)
            linux.mount("", str(self.root), "", linux.MS_PRIVATE)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        if stat.S_ISDIR(os.fstat(tree).st_mode):
            place.mkdir(exist_ok=True)
        else:
            place.touch()

    def _clear(self, directory: Path) -> None:
        for place in directory.iterdir():
            with contextlib.suppress(OSError):
                _unmount(place)
                place.rmdir() if place.is_dir() else place.unlink()
        with contextlib.suppress(OSError):
            directory.rmdir()


def _unmount(place: Path) -> None:
    while linux.is_mount(str(place)):
        linux.umount2(str(place), linux.MNT_DETACH | linux.UMOUNT_NOFOLLOW)
