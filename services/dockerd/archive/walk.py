"""A tree of files as entries, by descriptors alone: nothing is looked up twice, links are never followed.

Each file is held by an O_PATH descriptor and judged by it before anything is opened; a container may change the tree
meanwhile and gains nothing by it.
"""

import os
import stat
from collections.abc import Callable, Collection, Iterator
from typing import Final

from protos import tar
from protos.idmap import Owners, plain_capability
from protos.ladder import MAX_PATH, Below, Ladder, flat
from services.dockerd.archive.content import Entry, FileContent
from services.dockerd.beneath import closing

_TYPES: Final = {
    stat.S_IFREG: tar.REGULAR, stat.S_IFDIR: tar.DIRECTORY, stat.S_IFLNK: tar.SYMLINK, stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE, stat.S_IFIFO: tar.FIFO,
}
"""Sockets are in no archive."""
_XATTR: Final = "SCHILY.xattr."
_CAPABILITY: Final = _XATTR + "security.capability"
_HELD: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def capability_only(name: str) -> bool:
    """The extended attributes that Docker's own archives carry."""
    return name == "security.capability"


def everything(name: str) -> bool:
    """All extended attributes but overlayfs's own."""
    return not name.startswith(("trusted.overlay.", "user.overlay."))


class Walk:
    """One walk; hard links within it become links to the name that came first."""

    def __init__(
        self, keep: Callable[[str], bool] = capability_only, opaque: Collection[tuple[int, int]] = (), *,
        precise: bool = False, owners: Owners | None = None,
    ) -> None:
        """Times are whole seconds, as in Docker's archives, unless `precise`. `owners` are the host's."""
        self._owners = owners
        self._keep = keep
        self._precise = precise
        self._opaque = opaque
        self._seen: dict[tuple[int, int], bytes] = {}

    def entries(self, place: int, name: bytes, inside: bytes) -> Iterator[Entry]:
        """What the O_PATH descriptor `place` holds, called `name`, and what lies beneath it, called `inside`/….

        Directories whose (device, inode) is in `opaque` are shown empty: mounts of the kernel's own file systems.
        """
        status = os.fstat(place)
        entry = self._entry(place, status, name)
        if entry:
            yield entry
        if stat.S_ISDIR(status.st_mode) and (status.st_dev, status.st_ino) not in self._opaque:
            with Ladder(place) as ladder:
                yield from flat(self._beneath(ladder, inside))

    def _beneath(self, directory: Ladder, path: bytes) -> Iterator[Entry | Below[Entry]]:
        for name in sorted(os.listdir(directory.path("."))):  # noqa: PTH208 - a descriptor's
            full = path + b"/" + os.fsencode(name)
            try:
                place = os.open(name, _HELD, dir_fd=directory.lowest)
            except FileNotFoundError:
                continue  # it has gone since it was listed
            with closing(place):
                status = os.fstat(place)
                if entry := self._entry(place, status, full):
                    yield entry
            if (status.st_dev, status.st_ino) in self._opaque or len(full) > MAX_PATH:
                continue
            with directory.down(name) as inner:
                if inner is not None:
                    yield Below(self._beneath(inner, full))

    def _entry(self, place: int, status: os.stat_result, name: bytes) -> Entry | None:
        kind = _TYPES.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return None
        identity = (status.st_dev, status.st_ino)
        link, size = b"", 0
        if kind == tar.DIRECTORY:
            name = name.rstrip(b"/") + b"/"
        elif status.st_nlink > 1 and self._seen.setdefault(identity, name) != name:
            kind, link = tar.HARD_LINK, self._seen[identity]
        elif kind == tar.SYMLINK:
            link = os.fsencode(os.readlink("", dir_fd=place))
        elif kind == tar.REGULAR:
            size = status.st_size
        device = status.st_rdev if kind in (tar.CHARACTER, tar.BLOCK_DEVICE) else 0
        mtime = status.st_mtime_ns / 1e9 if self._precise else status.st_mtime_ns // 1_000_000_000
        uid, gid = status.st_uid, status.st_gid
        if self._owners:
            uid, gid = self._owners.to_container(uid, gid)
        header = tar.Header(
            name=name, type=kind, mode=stat.S_IMODE(status.st_mode), uid=uid, gid=gid, size=size,
            mtime=mtime, link=link, major=os.major(device), minor=os.minor(device),
            pax={} if kind == tar.HARD_LINK else self._attributes(place),
        )
        return Entry(header, FileContent(place, size) if kind == tar.REGULAR else None)

    def _attributes(self, place: int) -> dict[str, bytes]:
        path = f"/proc/self/fd/{place}"
        try:
            names = [name for name in os.listxattr(path) if self._keep(name)]
            found = {_XATTR + name: os.getxattr(path, name) for name in names}
        except OSError:
            return {}  # the file system has none, or the file has gone
        if self._owners and _CAPABILITY in found:
            found[_CAPABILITY] = plain_capability(found[_CAPABILITY])
        return found


def mounts_of(root: int, names: Collection[str]) -> set[tuple[int, int]]:
    """(device, inode) of those directories directly beneath `root` that are mounts of their own."""
    own = os.fstat(root).st_dev
    found = set()
    for name in names:
        try:
            status = os.stat(name, dir_fd=root, follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode) and status.st_dev != own:
            found.add((status.st_dev, status.st_ino))
    return found
