"""`volume-subpath`: a directory inside a volume, pinned by a mount of its own before the runtime is given a path.

The volume's content is a container's: a path handed on as text could be turned into a link on its way.
"""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Final

from protos import errdefs
from services.dockerd import beneath, linux
from services.dockerd.beneath import closing

_PLACE: Final = ".pinned"


def pin(root: Path, volume: Path, inside: str, container_id: str) -> str:
    """Bind the directory or file `inside` the volume to a place of ours; its path."""
    name = hashlib.sha256(f"{volume}\0{inside}".encode()).hexdigest()[:16]
    place = root / _PLACE / container_id / name
    try:
        with closing(os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as top:
            source = beneath.open_in(top, inside, os.O_PATH)
    except OSError as error:
        raise errdefs.InvalidArgument(
            f"cannot access path {inside} of volume {volume.parent.name}: {error.strerror}"
        ) from error
    with closing(source):
        if linux.is_mount(str(place)):
            return str(place)
        _make(place, source)
        tree = linux.open_tree(source, "", linux.OPEN_TREE_CLONE | linux.AT_EMPTY_PATH)
        with closing(tree), closing(os.open(place, os.O_PATH | os.O_CLOEXEC)) as target:
            linux.move_mount(tree, target)
    return str(place)


def unpin(root: Path, container_id: str) -> None:
    """Take away the places of a container; nothing where there are none."""
    directory = root / _PLACE / container_id
    if not directory.is_dir():
        return
    for place in directory.iterdir():
        with contextlib.suppress(OSError):
            while linux.is_mount(str(place)):
                linux.umount2(str(place), linux.MNT_DETACH | linux.UMOUNT_NOFOLLOW)
        with contextlib.suppress(OSError):
            place.rmdir() if place.is_dir() else place.unlink()
    with contextlib.suppress(OSError):
        directory.rmdir()


def _make(place: Path, source: int) -> None:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.path.isdir(f"/proc/self/fd/{source}"):  # noqa: PTH112 - a magic link
        place.mkdir(exist_ok=True)
    else:
        place.touch()
