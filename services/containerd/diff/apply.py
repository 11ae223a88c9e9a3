"""Unpacks a layer into a directory tree: entry by entry, on directory descriptors, as root of the host.

Not tarfile's extraction, which has been led out of its directory again and again. An archive that is malformed, or
names a place outside the tree, is refused with what was unpacked so far left to the caller, who throws it away.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protos import errdefs
from protos.idmap import OVERFLOW, Owners
from services.containerd.diff import kinds, whiteout
from services.containerd.diff.entry import Entry, TarError
from services.containerd.diff.place import Place, clean
from services.containerd.diff.tar import Copy, Reader
from services.containerd.diff.whiteout import Form
from services.containerd.snapshots.directories import file_bytes

MAX_ENTRIES: Final = 5_000_000
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_UMASKED: Final = 0o7022
"""Mode bits that the process's umask, 022, or the kernel's rules for chown take away from a new file."""
_NODES: Final = {kinds.CHARACTER: stat.S_IFCHR, kinds.BLOCK_DEVICE: stat.S_IFBLK, kinds.FIFO: stat.S_IFIFO}
_TIMES: Final = range(2**63)
"""Nanoseconds that Docker believes; it takes any other time for the epoch, but of symbolic links."""
_MAX_TIME: Final = 2**34 * 10**9


@dataclass(frozen=True, slots=True)
class Unpacked:
    implied: list[bytes]
    """Directories that the archive went through without naming them, b"." too."""
    size: int
    """Bytes of files, and of links' targets where the tree is one layer: what Docker calls the layer's size."""


def apply(
    root: Path,
    chunks: Iterable[bytes],
    *,
    form: Form = Form.GONE,
    parents: Sequence[Path] = (),
    copy: Copy = lambda target, most: 0,
    owners: Owners | None = None,
) -> Unpacked:
    """Unpack a plain tar stream into `root`.

    `form` is what becomes of whiteouts. Where they stay, the tree is one layer: implied directories look like those of
    `parents`, the nearest first. `owners` are the host's for the archive's ids. Blocks. InvalidArgument for a bad
    archive.
    """
    if owners:
        _own(root, owners)
    place = Place(root, form=form, parents=parents, owner=owners.root if owners else (0, 0))
    try:
        applier = _Applier(place, owners)
        applier.run(Reader(iter(chunks), copy))
        size = file_bytes(root) if place.replaced and form is not Form.GONE else applier.size
        return Unpacked(place.implied if applier.named_root else [*place.implied, b"."], size)
    except TarError as error:
        raise errdefs.InvalidArgument(f"layer is refused: {error}") from error
    except RecursionError as error:
        raise errdefs.InvalidArgument("layer is refused: its whiteouts lie too deep") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errdefs.ResourceExhausted(f"no space left to unpack the layer: {error}") from error
        raise errdefs.InvalidArgument(f"layer cannot be unpacked: {error}") from error
    finally:
        place.close()


def _own(root: Path, owners: Owners) -> None:
    """Give away the root directory of the first layer, which a driver has made as nobody's within."""
    if owners.uids.to_container(root.stat().st_uid) == OVERFLOW:
        os.chown(root, *owners.root)


class _Applier:
    def __init__(self, place: Place, owners: Owners | None) -> None:
        self.place = place
        self._owners = owners
        self._times: dict[bytes, int] = {}
        """Directories get their times at the end, when nothing is put into them any more."""
        self.named_root = False
        self.size = 0
        self._unpacked: set[bytes] = set()
        """What this layer brought, which its own whiteouts do not hide; kept only where whiteouts remove."""
        self._above: set[bytes] = set()
        """The directories that these lie in."""
        self._links = False
        """Whether there are files of aufs's, which go once all hard links to them are made."""

    def run(self, reader: Reader) -> None:
        count = 0
        for entry in reader:
            count += 1
            if count > MAX_ENTRIES:
                raise TarError(f"more than {MAX_ENTRIES} entries")
            path = clean(entry.name)
            base = path.rpartition(b"/")[2]
            if path.startswith(whiteout.META_PREFIX) and path != whiteout.OPAQUE:
                self._linked(path, entry, reader)
                continue
            if base.startswith(whiteout.PREFIX):
                self._whiteout(path, base)
                continue
            if self._owners:
                entry.uid, entry.gid = self._owners.to_host(entry.uid, entry.gid)
            self._unpack(path, entry, reader)
            if self.place.form is Form.GONE:
                self._remember(path)
        for _ in reader.rest():
            pass
        if self._links:
            self.place.discard(whiteout.LINKS)
        for path, mtime in self._times.items():
            self._set_time(path, mtime)

    def _remember(self, path: bytes) -> None:
        self._unpacked.add(path)
        head = path.rpartition(b"/")[0]
        while head and head not in self._above:
            self._above.add(head)
            head = head.rpartition(b"/")[0]

    def _linked(self, path: bytes, entry: Entry, reader: Reader) -> None:
        """Of what aufs keeps for itself only files count that others are links to."""
        if entry.kind == kinds.FILE and path.startswith(whiteout.LINKS + b"/") and path.count(b"/") == 1:
            self._links = True
            self._unpack(path, entry, reader)

    def _unpack(self, path: bytes, entry: Entry, reader: Reader) -> None:
        if path == b".":
            if entry.kind != kinds.DIRECTORY:
                raise TarError("the root of a layer must be a directory")
            self._attributes(self.place.directory(path), entry)
            self._times[path] = entry.mtime
            self.named_root = True
            return
        parent, name = self.place.parent(path)
        if entry.kind != kinds.DIRECTORY:
            self.place.uncover(parent, name)
        if entry.kind == kinds.FILE:
            self._file(parent, name, entry, reader)
        elif entry.kind == kinds.DIRECTORY:
            self._directory(parent, name, path, entry)
        elif entry.kind == kinds.HARDLINK:
            self._hardlink(name, path, entry)
        elif entry.kind == kinds.SYMLINK:
            self._replacing(parent, name, lambda: os.symlink(entry.link, name, dir_fd=parent))
            self.size += 0 if self.place.form is Form.GONE else len(entry.link)
            self._leaf_attributes(parent, name, entry)
        else:
            mode = _NODES[entry.kind] | entry.mode
            device = os.makedev(entry.major, entry.minor)
            self._replacing(parent, name, lambda: os.mknod(name, mode, device, dir_fd=parent))
            self._leaf_attributes(parent, name, entry)

    # Kinds of entries

    def _file(self, parent: int, name: bytes, entry: Entry, reader: Reader) -> None:
        try:
            made = os.open(name, _CREATE, entry.mode, dir_fd=parent)
        except FileExistsError:
            self.place.remove(parent, name)
            made = os.open(name, _CREATE, entry.mode, dir_fd=parent)
        try:
            if entry.extents is not None:
                _write_sparse(made, entry, reader)
            else:
                reader.write_to(made)
            self._attributes(made, entry)
            os.utime(made, ns=_times(entry.mtime))
            self.size += entry.length
        finally:
            os.close(made)

    def _directory(self, parent: int, name: bytes, path: bytes, entry: Entry) -> None:
        self.place.make_directory(parent, name, entry.mode)
        made = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            self._attributes(made, entry)
        finally:
            os.close(made)
        self._times[path] = entry.mtime

    def _hardlink(self, name: bytes, path: bytes, entry: Entry) -> None:
        source, source_name = self.place.parent(clean(entry.link))
        source = os.dup(source)
        try:
            parent, _ = self.place.parent(path)
            self._replacing(
                parent, name,
                lambda: os.link(source_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False),
            )
            self._leaf_attributes(parent, name, entry)
        finally:
            os.close(source)

    def _replacing(self, parent: int, name: bytes, make: Callable[[], None]) -> None:
        try:
            make()
        except FileExistsError:
            self.place.remove(parent, name)
            make()

    # Attributes

    def _attributes(self, descriptor: int, entry: Entry) -> None:
        """Owner, xattrs, mode of an open file or directory; chown goes first, it clears some of the others."""
        os.fchown(descriptor, entry.uid, entry.gid)
        for key, value in entry.xattrs.items():
            _set_xattr(f"/proc/self/fd/{descriptor}", key, value, follow=True)
        if entry.mode & _UMASKED or entry.kind == kinds.DIRECTORY:
            os.fchmod(descriptor, entry.mode)

    def _leaf_attributes(self, parent: int, name: bytes, entry: Entry) -> None:
        """The same of a link or a device, which is never opened; as in Docker a hard link's are those of its file."""
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        for key, value in entry.xattrs.items():
            _set_xattr(f"/proc/self/fd/{parent}/{os.fsdecode(name)}", key, value, follow=False)
        if entry.kind == kinds.HARDLINK and stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            return
        if entry.kind == kinds.HARDLINK or (entry.kind != kinds.SYMLINK and entry.mode & _UMASKED):
            held = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                Path(f"/proc/self/fd/{held}").chmod(entry.mode)
            finally:
                os.close(held)
        times = _link_times(entry.mtime) if entry.kind == kinds.SYMLINK else _times(entry.mtime)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)

    def _set_time(self, path: bytes, mtime: int) -> None:
        """Of a directory that may have been replaced since."""
        if path == b".":
            os.utime(self.place.directory(path), ns=_times(mtime))
            return
        parent, name = self.place.parent(path)
        facts = self.place.look(parent, name)
        if facts is not None and stat.S_ISDIR(facts.st_mode):
            os.utime(name, ns=_times(mtime), dir_fd=parent, follow_symlinks=False)

    # Whiteouts

    def _whiteout(self, path: bytes, base: bytes) -> None:
        parent, _ = self.place.parent(path)
        if base == whiteout.OPAQUE:
            self._opaque(parent, path.rpartition(b"/")[0])
            return
        try:
            name = whiteout.hidden(base)
        except ValueError as error:
            raise TarError(str(error)) from error
        if self.place.form is not Form.GONE:
            self.place.hide(parent, name)
        else:
            head = path.rpartition(b"/")[0]
            self._remove_old(parent, name, head + b"/" + name if head else name)

    def _opaque(self, directory: int, path: bytes) -> None:
        if self.place.form is not Form.GONE:
            self.place.make_opaque(directory)
            return
        for name in os.listdir(directory):
            encoded = os.fsencode(name)
            self._remove_old(directory, encoded, path + b"/" + encoded if path else encoded)

    def _remove_old(self, parent: int, name: bytes, path: bytes) -> None:
        """Remove what was there before this layer, whose own entries stay."""
        if path not in self._unpacked and path not in self._above:
            self.place.remove(parent, name)
            return
        facts = self.place.look(parent, name)
        if facts is None or not stat.S_ISDIR(facts.st_mode):
            return
        directory = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            self._opaque(directory, path)
        finally:
            os.close(directory)


def _write_sparse(descriptor: int, entry: Entry, reader: Reader) -> None:
    extents = iter(entry.extents or ())
    offset, room = next(extents, (0, 0))
    for piece in reader.data():
        while piece:
            if not room:
                offset, room = next(extents)
                continue
            written = os.pwrite(descriptor, piece[:room], offset)
            piece, offset, room = piece[written:], offset + written, room - written
    os.ftruncate(descriptor, entry.length)


def _times(mtime: int) -> tuple[int, int]:
    believed = mtime if mtime in _TIMES else 0
    return believed, believed


def _link_times(mtime: int) -> tuple[int, int]:
    bounded = max(-_MAX_TIME, min(mtime, _MAX_TIME))
    return bounded, bounded


def _set_xattr(path: str, key: str, value: bytes, *, follow: bool) -> None:
    """Set an xattr that the file system can hold; those by which overlayfs works are not an archive's to set."""
    if key.startswith(("trusted.overlay.", "user.overlay.")):
        return
    try:
        os.setxattr(path, key, value, follow_symlinks=follow)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EPERM):
            raise
