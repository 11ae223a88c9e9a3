"""Entries made into files beneath a root that somebody else may be changing: by descriptors, and nothing followed.

The kernel resolves the directory of each entry inside the root; its last name is made new (O_EXCL, mknod, symlink),
never opened if it was there. Ids, modes and attributes are set through the descriptor of what was made.
"""

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Callable, Iterable
from typing import Final

from protos import errdefs, tar, trees
from protos.idmap import Owners
from services.dockerd import beneath
from services.dockerd.archive.content import Entry
from services.dockerd.beneath import closing

_MAX_ID: Final = (1 << 32) - 2
_MAX_TIME: Final = 1 << 34
_XATTR: Final = "SCHILY.xattr."
_NODES: Final = {tar.CHARACTER: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}
_NEW: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HELD: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def user_xattr(name: str) -> bool:
    """The extended attributes taken from a stranger's archive."""
    return name == "security.capability" or (name.startswith("user.") and not name.startswith("user.overlay."))


class Extractor:
    """One archive on its way to the directory `target` beneath the directory descriptor `root`."""

    def __init__(
        self, root: int, target: str, *, owner: tuple[int, int] | None = None, keep_kinds: bool = False,
        keep: Callable[[str], bool] = user_xattr, owners: Owners | None = None,
    ) -> None:
        """`owner` replaces every entry's; with `keep_kinds` a directory and another kind never replace each other.

        `owners` are the host's for the archive's ids.
        """
        self._root = root
        self._target = target.rstrip("/")
        self._owner = owner
        self._keep_kinds = keep_kinds
        self._keep = keep
        self._owners = owners
        self._times: list[tuple[str, int]] = []
        self._parent_path = ""
        self._parent = -1

    def apply(self, entries: Iterable[Entry]) -> None:
        """Make all entries; InvalidArgument for one that must not be."""
        try:
            for entry in entries:
                self._apply(entry)
            for path, when in reversed(self._times):
                self._touch(path, when)
        finally:
            if self._parent >= 0:
                os.close(self._parent)

    def _touch(self, path: str, when: int) -> None:
        """A directory's time, once nothing more is put into it."""
        with contextlib.suppress(OSError), closing(
            beneath.open_in(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
        ) as directory:
            os.utime(directory, ns=(when, when))

    def _apply(self, entry: Entry) -> None:
        header = entry.header
        if header.type not in (tar.REGULAR, tar.HARD_LINK, tar.SYMLINK, tar.DIRECTORY, *_NODES):
            raise errdefs.InvalidArgument(f"unhandled tar header type {ord(header.type[:1])}")
        path = self._inside(header.name)
        if not path:
            return  # the target itself stays as it is
        directory, _, name = path.rpartition("/")
        parent = self._open_parent(f"{self._target}/{directory}")
        exists = self._make_room(parent, name, f"{self._target}/{path}", header)
        if header.type == tar.DIRECTORY:
            self._directory(parent, name, header, exists)
            self._times.append((f"{self._target}/{path}", _nanoseconds(header)))
        elif header.type == tar.REGULAR:
            self._file(parent, name, entry)
        elif header.type == tar.HARD_LINK:
            self._link(parent, name, header)
        else:
            self._other(parent, name, header)

    def _inside(self, name: bytes) -> str:
        """The name relative to the target, cleaned; "" for the target."""
        cleaned = posixpath.normpath(os.fsdecode(name).lstrip("/"))
        if cleaned == ".." or cleaned.startswith("../") or len(cleaned) > 4096:
            raise errdefs.InvalidArgument(f'"{cleaned[:200]}" is outside of "{self._target or "/"}"')
        if "\0" in cleaned:
            raise errdefs.InvalidArgument("archive is not readable: a name with a zero byte")
        return "" if cleaned == "." else cleaned

    def _open_parent(self, path: str) -> int:
        """The directory at `path` beneath the root, made where it is missing; held until another is asked for."""
        if self._parent >= 0 and path == self._parent_path:
            return self._parent
        if self._parent >= 0:
            os.close(self._parent)
            self._parent = -1
        try:
            self._parent = beneath.open_in(self._root, path, os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            made_for = self._owners.root if self._owners else (0, 0)
            self._parent = beneath.make_directories(self._root, path, owner=made_for)
        self._parent_path = path
        return self._parent

    def _make_room(self, parent: int, name: str, path: str, header: tar.Header) -> bool:
        """Take away what the entry replaces; True where it is a directory that stays."""
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        was, becomes = stat.S_ISDIR(status.st_mode), header.type == tar.DIRECTORY
        if was and becomes:
            return True
        if self._keep_kinds and was:
            raise errdefs.InvalidArgument(f'cannot overwrite directory "{path}" with non-directory "{self._target}"')
        if self._keep_kinds and becomes:
            raise errdefs.InvalidArgument(f'cannot overwrite non-directory "{path}" with directory "{self._target}"')
        if was:
            trees.remove(name, parent)
        else:
            os.unlink(name, dir_fd=parent)
        return False

    def _directory(self, parent: int, name: str, header: tar.Header, exists: bool) -> None:
        if not exists:
            os.mkdir(name, 0o700, dir_fd=parent)
        with closing(os.open(name, _DIRECTORY, dir_fd=parent)) as directory:
            self._describe(directory, header)

    def _file(self, parent: int, name: str, entry: Entry) -> None:
        with closing(os.open(name, _NEW, 0o600, dir_fd=parent)) as file:
            if entry.content is not None:
                entry.content.copy_to(file)
            self._describe(file, entry.header)
            when = _nanoseconds(entry.header)
            os.utime(file, ns=(when, when))

    def _link(self, parent: int, name: str, header: tar.Header) -> None:
        target = self._inside(header.link)
        try:
            held = beneath.open_in(self._root, f"{self._target}/{target}", os.O_PATH | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise errdefs.InvalidArgument(f'invalid hardlink "{name}" -> "{target}": no such file') from error
        with closing(held):
            os.link(f"/proc/self/fd/{held}", name, dst_dir_fd=parent)  # AT_SYMLINK_FOLLOW: of the magic link alone

    def _other(self, parent: int, name: str, header: tar.Header) -> None:
        if header.type == tar.SYMLINK:
            os.symlink(os.fsdecode(header.link), name, dir_fd=parent)
        else:
            device = os.makedev(header.major, header.minor)
            os.mknod(name, _NODES[header.type] | 0o600, device, dir_fd=parent)
        with closing(os.open(name, _HELD, dir_fd=parent)) as held:
            made = stat.S_IFMT(os.fstat(held).st_mode)
            if made != _NODES.get(header.type, stat.S_IFLNK):
                raise errdefs.Aborted(f'"{name}" was replaced while it was extracted')
            self._describe(held, header)
        when = _nanoseconds(header)
        os.utime(name, ns=(when, when), dir_fd=parent, follow_symlinks=False)

    def _describe(self, fd: int, header: tar.Header) -> None:
        """Owner, mode and attributes, in the order that keeps set-uid bits and file capabilities."""
        path = f"/proc/self/fd/{fd}"
        uid, gid = self._owner or (header.uid, header.gid)
        if self._owners:
            uid, gid = self._owners.to_host(uid, gid)
        if not (0 <= uid <= _MAX_ID and 0 <= gid <= _MAX_ID):
            raise errdefs.InvalidArgument(f"archive is not readable: owner {uid}:{gid} is out of range")
        os.chown(fd if header.type in (tar.REGULAR, tar.DIRECTORY) else path, uid, gid)
        if header.type != tar.SYMLINK:
            os.chmod(path, header.mode & 0o7777)  # noqa: PTH101 - a magic link
        for key, value in header.pax.items():
            name = key.removeprefix(_XATTR)
            if key.startswith(_XATTR) and self._keep(name):
                _set_attribute(path, name, value)


def _set_attribute(path: str, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EPERM):
            raise


def _nanoseconds(header: tar.Header) -> int:
    return int(min(max(header.mtime, 0.0), _MAX_TIME) * 1e9)
