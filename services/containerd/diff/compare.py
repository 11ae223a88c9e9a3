"""Writes the difference between two trees as a layer: from an overlay's upper directory, or by walking both.

The layer holds what was added or changed, with the directories above it, and whiteouts for what is gone. The trees may
change while they are read: what goes is left out.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protos.idmap import Owners, plain_capability
from services.containerd.diff import kinds, whiteout
from services.containerd.diff.entry import Entry
from services.containerd.diff.tar import LARGE
from services.containerd.diff.writer import END, header, padding

_CHUNK: Final = 512 << 10
_KINDS: Final = {
    stat.S_IFREG: kinds.FILE, stat.S_IFDIR: kinds.DIRECTORY, stat.S_IFLNK: kinds.SYMLINK,
    stat.S_IFCHR: kinds.CHARACTER, stat.S_IFBLK: kinds.BLOCK_DEVICE, stat.S_IFIFO: kinds.FIFO,
}
_OVERLAY_XATTRS: Final = "trusted.overlay."
_CAPABILITY: Final = "security.capability"


@dataclass(frozen=True, slots=True)
class Contents:
    """Bytes of a large file from its position on, for the taker to read; zeros where it has got shorter."""

    file: int
    size: int

    def pieces(self) -> Iterator[bytes]:
        left = self.size
        while left:
            data = os.read(self.file, min(left, _CHUNK)) or bytes(min(left, _CHUNK))
            left -= len(data)
            yield data


Piece = bytes | Contents


def branch_layer(branch: Path, owners: Owners | None = None) -> Iterator[Piece]:
    """The layer that a branch of aufs is: whiteouts are in it as they are in an archive, beside aufs's own files."""
    archive = _Archive(owners)
    yield from _branch(archive, str(branch), b"")
    yield END


def upper_layer(upper: Path, owners: Owners | None = None) -> Iterator[Piece]:
    """The layer that an overlay's upper directory is; `owners` are the host's for the layer's ids."""
    archive = _Archive(owners)
    yield from _upper(archive, str(upper), b"")
    yield END


def tree_layer(old: Path | None, new: Path, owners: Owners | None = None) -> Iterator[Piece]:
    """The layer that makes `new` of `old`, or of nothing."""
    archive = _Archive(owners)
    yield from _tree(archive, None if old is None else str(old), str(new), b"")
    yield END


def _branch(archive: "_Archive", directory: str, prefix: bytes) -> Iterator[Piece]:
    for entry, facts in _sorted(directory):
        base = os.fsencode(entry.name)
        if base == whiteout.OPAQUE:
            yield archive.opaque(prefix.rstrip(b"/"))
        elif base.startswith(whiteout.META_PREFIX):
            continue
        elif base.startswith(whiteout.PREFIX):
            yield archive.whiteout(prefix + whiteout.hidden(base))
        else:
            yield from archive.add(prefix + base, entry.path, facts)
            if stat.S_ISDIR(facts.st_mode):
                yield from _branch(archive, entry.path, prefix + base + b"/")


def _upper(archive: "_Archive", directory: str, prefix: bytes) -> Iterator[Piece]:
    for entry, facts in _sorted(directory):
        name = prefix + os.fsencode(entry.name)
        if whiteout.is_device(facts):
            yield archive.whiteout(name)
            continue
        yield from archive.add(name, entry.path, facts)
        if stat.S_ISDIR(facts.st_mode):
            if _is_opaque(entry.path):
                yield archive.opaque(name)
            yield from _upper(archive, entry.path, name + b"/")


def _tree(archive: "_Archive", old: str | None, new: str, prefix: bytes) -> Iterator[Piece]:
    """Changes below a directory that both trees have, or that is new where `old` is None."""
    before = {entry.name: entry for entry in os.scandir(old)} if old else {}
    now = _sorted(new)
    for gone in sorted(before.keys() - {entry.name for entry, _ in now}):
        yield archive.whiteout(prefix + os.fsencode(gone))
    for entry, facts in now:
        name = prefix + os.fsencode(entry.name)
        match = before.get(entry.name)
        is_directory = stat.S_ISDIR(facts.st_mode)
        earlier = match.path if match and is_directory and match.is_dir(follow_symlinks=False) else None
        changed = match is None or _differs(match, entry, facts)
        if not is_directory:
            if changed:
                yield from archive.add(name, entry.path, facts)
            continue
        below = _tree(archive, earlier, entry.path, name + b"/")
        first = b"" if changed else next(below, b"")
        if changed or first:
            yield from archive.add(name, entry.path, facts)
            yield first
            yield from below


def _differs(before: "os.DirEntry[str]", now: "os.DirEntry[str]", facts: os.stat_result) -> bool:
    old = before.stat(follow_symlinks=False)
    if (old.st_dev, old.st_ino) == (facts.st_dev, facts.st_ino):
        return False
    if (old.st_ino, old.st_ctime_ns, old.st_size) == (facts.st_ino, facts.st_ctime_ns, facts.st_size):
        return False  # untouched since the file system took a snapshot: times of change cannot be set
    same = ("st_mode", "st_uid", "st_gid", "st_rdev")
    if any(getattr(old, name) != getattr(facts, name) for name in same):
        return True
    if _xattrs(before.path) != _xattrs(now.path):
        return True
    if stat.S_ISDIR(facts.st_mode):
        return False
    if stat.S_ISLNK(facts.st_mode):
        return Path(before.path).readlink() != Path(now.path).readlink()
    return (old.st_size, old.st_mtime_ns) != (facts.st_size, facts.st_mtime_ns)


class _Archive:
    """Makes the pieces of the archive, and remembers hard links."""

    def __init__(self, owners: Owners | None) -> None:
        self._owners = owners
        self._links: dict[tuple[int, int], bytes] = {}

    def add(self, name: bytes, path: str, facts: os.stat_result) -> Iterator[Piece]:
        kind = _KINDS.get(stat.S_IFMT(facts.st_mode))
        if kind is None:
            return
        entry = _entry(name, kind, facts)
        if self._owners:
            entry.uid, entry.gid = self._owners.to_container(entry.uid, entry.gid)
        identity = (facts.st_dev, facts.st_ino)
        shared = kind != kinds.DIRECTORY and facts.st_nlink > 1
        if shared and identity in self._links:
            entry.kind, entry.link, entry.size = kinds.HARDLINK, self._links[identity], 0
            yield header(entry)
            return
        try:
            if kind == kinds.SYMLINK:
                entry.link = os.fsencode(Path(path).readlink())
            entry.xattrs = _xattrs(path)
            if self._owners and _CAPABILITY in entry.xattrs:
                entry.xattrs[_CAPABILITY] = plain_capability(entry.xattrs[_CAPABILITY])
            contents = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC) if kind == kinds.FILE else None
        except FileNotFoundError:
            return  # gone since its directory was read
        if shared:
            self._links[identity] = name
        yield header(entry)
        if contents is not None:
            yield from _contents(contents, entry.size)

    def whiteout(self, name: bytes) -> bytes:
        head, slash, base = name.rpartition(b"/")
        return header(_empty(head + slash + whiteout.PREFIX + base))

    def opaque(self, directory: bytes) -> bytes:
        return header(_empty(directory + b"/" + whiteout.OPAQUE if directory else whiteout.OPAQUE))


def _entry(name: bytes, kind: bytes, facts: os.stat_result) -> Entry:
    entry = Entry(
        name=name + b"/" if kind == kinds.DIRECTORY else name, kind=kind, mode=stat.S_IMODE(facts.st_mode),
        uid=facts.st_uid, gid=facts.st_gid, size=facts.st_size if kind == kinds.FILE else 0,
        mtime=facts.st_mtime_ns // 10**9 * 10**9,
    )
    if kind in (kinds.CHARACTER, kinds.BLOCK_DEVICE):
        entry.major, entry.minor = os.major(facts.st_rdev), os.minor(facts.st_rdev)
    return entry


def _empty(name: bytes) -> Entry:
    return Entry(name=name, kind=kinds.FILE, mode=0, uid=0, gid=0, size=0, mtime=0)


def _contents(descriptor: int, size: int) -> Iterator[Piece]:
    """Exactly `size` bytes, as the header said, whatever happens to the file meanwhile; closes it."""
    try:
        contents = Contents(descriptor, size)
        if size >= LARGE:
            yield contents
        else:
            yield from contents.pieces()
    finally:
        os.close(descriptor)
    yield padding(size)


def _sorted(directory: str) -> "list[tuple[os.DirEntry[str], os.stat_result]]":
    """What lies in a directory, by name; without what goes while we look."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(directory):
            with contextlib.suppress(FileNotFoundError):
                found.append((entry, entry.stat(follow_symlinks=False)))
    return sorted(found, key=lambda it: it[0].name)


def _xattrs(path: str) -> dict[str, bytes]:
    names = os.listxattr(path, follow_symlinks=False)
    return {
        name: os.getxattr(path, name, follow_symlinks=False) for name in names if not name.startswith(_OVERLAY_XATTRS)
    }


def _is_opaque(path: str) -> bool:
    try:
        return os.getxattr(path, whiteout.OPAQUE_XATTR, follow_symlinks=False) == b"y"
    except OSError:
        return False
