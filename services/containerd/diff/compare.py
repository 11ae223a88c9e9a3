"""Writes the difference between two trees as a layer: from an overlay's upper directory, or by walking both.

The layer holds what was added or changed, with the directories above it, and whiteouts for what is gone. The trees may
change while they are read: what goes is left out.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protos import errdefs
from protos.idmap import Owners, plain_capability
from protos.ladder import Below, Ladder, flat
from services.containerd.diff import kinds, whiteout
from services.containerd.diff.entry import MAX_NAME, Entry
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
Steps = Iterator[Piece | Below[Piece]]


def branch_layer(branch: Path, owners: Owners | None = None) -> Iterator[Piece]:
    """The layer that a branch of aufs is: whiteouts are in it as they are in an archive, beside aufs's own files."""
    with Ladder(branch) as top:
        yield from _whole(_branch(_Archive(owners), top, b""))


def upper_layer(upper: Path, owners: Owners | None = None) -> Iterator[Piece]:
    """The layer that an overlay's upper directory is; `owners` are the host's for the layer's ids."""
    with Ladder(upper) as top:
        yield from _whole(_upper(_Archive(owners), top, b""))


def tree_layer(old: Path | None, new: Path, owners: Owners | None = None) -> Iterator[Piece]:
    """The layer that makes `new` of `old`, or of nothing."""
    with Ladder(new) as top, nullcontext() if old is None else Ladder(old) as before:
        yield from _whole(_tree(_Archive(owners), before, top, b""))


def _whole(steps: Steps) -> Iterator[Piece]:
    pieces: Iterator[Piece] = flat(steps)
    yield from pieces
    yield END


def _branch(archive: "_Archive", directory: Ladder, prefix: bytes) -> Steps:
    for name, facts in _sorted(directory):
        base = os.fsencode(name)
        if base == whiteout.OPAQUE:
            yield archive.opaque(prefix.rstrip(b"/"))
        elif base.startswith(whiteout.META_PREFIX):
            continue
        elif base.startswith(whiteout.PREFIX):
            yield archive.whiteout(prefix + whiteout.hidden(base))
        else:
            yield from archive.add(prefix + base, directory.path(name), facts)
            with directory.down(name) as inner:
                if inner is not None:
                    yield Below(_branch(archive, inner, prefix + base + b"/"))


def _upper(archive: "_Archive", directory: Ladder, prefix: bytes) -> Steps:
    for base, facts in _sorted(directory):
        name = prefix + os.fsencode(base)
        if whiteout.is_device(facts):
            yield archive.whiteout(name)
            continue
        yield from archive.add(name, directory.path(base), facts)
        if stat.S_ISDIR(facts.st_mode):
            if _is_opaque(directory.path(base)):
                yield archive.opaque(name)
            with directory.down(base) as inner:
                if inner is not None:
                    yield Below(_upper(archive, inner, name + b"/"))


def _tree(archive: "_Archive", old: Ladder | None, new: Ladder, prefix: bytes) -> Steps:
    """Changes below a directory that both trees have, or that is new where `old` is None."""
    before = set(os.listdir(old.path("."))) if old else set()  # noqa: PTH208 - a descriptor's
    now = _sorted(new)
    for gone in sorted(before - {name for name, _ in now}):
        yield from archive.above()
        yield archive.whiteout(prefix + os.fsencode(gone))
    for base, facts in now:
        name, path = prefix + os.fsencode(base), new.path(base)
        changed = old is None or base not in before or _differs(old.path(base), path, facts)
        if changed:
            yield from archive.above()
            yield from archive.add(name, path, facts)
        if not stat.S_ISDIR(facts.st_mode):
            continue
        if not changed:
            archive.unchanged.append(b"".join(_bytes(archive.add(name, path, facts))))
        with new.down(base) as inner, nullcontext() if old is None else old.down(base) as beneath:
            if inner is not None:
                yield Below(_tree(archive, beneath, inner, name + b"/"))
        if not changed and archive.unchanged:
            archive.unchanged.pop()  # nothing beneath has


def _differs(before: str, now: str, facts: os.stat_result) -> bool:
    old = os.lstat(before)
    if (old.st_dev, old.st_ino) == (facts.st_dev, facts.st_ino):
        return False
    if (old.st_ino, old.st_ctime_ns, old.st_size) == (facts.st_ino, facts.st_ctime_ns, facts.st_size):
        return False  # untouched since the file system took a snapshot: times of change cannot be set
    same = ("st_mode", "st_uid", "st_gid", "st_rdev")
    if any(getattr(old, name) != getattr(facts, name) for name in same):
        return True
    try:
        if _xattrs(before) != _xattrs(now):
            return True
        if stat.S_ISLNK(facts.st_mode):
            return Path(before).readlink() != Path(now).readlink()
    except FileNotFoundError:
        return True  # gone since its directory was read
    if stat.S_ISDIR(facts.st_mode):
        return False
    return (old.st_size, old.st_mtime_ns) != (facts.st_size, facts.st_mtime_ns)


def _bytes(pieces: Iterator[Piece]) -> Iterator[bytes]:
    return (piece for piece in pieces if isinstance(piece, bytes))


class _Archive:
    """Makes the pieces of the archive, and remembers hard links."""

    def __init__(self, owners: Owners | None) -> None:
        self._owners = owners
        self._links: dict[tuple[int, int], bytes] = {}
        self.unchanged: list[bytes] = []
        """Headers of the directories above that are in the archive only if something beneath them is."""

    def above(self) -> Iterator[Piece]:
        yield from self.unchanged
        self.unchanged.clear()

    def add(self, name: bytes, path: str, facts: os.stat_result) -> Iterator[Piece]:
        kind = _KINDS.get(stat.S_IFMT(facts.st_mode))
        if kind is None:
            return
        if len(name) >= MAX_NAME:
            raise errdefs.InvalidArgument(f"{name[:80]!r}… is longer than the {MAX_NAME} bytes that a layer can hold")
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


def _sorted(directory: Ladder) -> list[tuple[str, os.stat_result]]:
    return sorted(directory.entries(), key=lambda it: it[0])


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
