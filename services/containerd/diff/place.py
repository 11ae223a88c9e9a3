"""A directory tree that is being unpacked into: names are resolved by the kernel, and never beyond its root.

Symbolic links inside the tree are followed inside the tree, as a container would see them. Directories are kept open
while consecutive entries lie in them.
"""

import os
import stat
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from protos import trees
from services.containerd import linux
from services.containerd.diff import implied
from services.containerd.diff.entry import TarError
from services.containerd.diff.whiteout import OPAQUE, OPAQUE_XATTR, PREFIX, Form, is_device

_INSIDE: Final = linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_MAGICLINKS | linux.RESOLVE_NO_XDEV
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY
_KEPT: Final = 32


def clean(name: bytes) -> bytes:
    """A name relative to the root, b"." for the root itself; TarError for one that leads out of it."""
    if not (b"/." in name or b"//" in name or name.startswith((b"/", b".")) or name.endswith(b"/")) and name:
        return name  # as nearly all are
    if name == b"/":
        return b"."
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                raise TarError(f"{name!r} leads out of the layer")
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts) or b"."


class Place:
    def __init__(self, root: Path, *, form: Form, parents: Sequence[Path], owner: tuple[int, int]) -> None:
        self.form = form
        self.implied: list[bytes] = []
        self._parents = parents
        self._owner = owner
        self._root = os.open(root, _DIRECTORY | os.O_CLOEXEC)
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self.replaced = False
        """Whether anything that was there had to go."""
        self._hidden = False
        """Whether there may be whiteouts of aufs."""
        self._stale = False
        """Whether a directory or a link went, so that kept directories may have other names by now."""

    def directory(self, path: bytes) -> int:
        """A descriptor of a directory, made with its parents where it is not there; the place's own, not to close."""
        if self._stale:
            self.forget()
        if path in (b"", b"."):
            return self._root
        kept = self._open.get(path)
        if kept is not None:
            self._open.move_to_end(path)
            return kept
        try:
            found = linux.openat2(self._root, os.fsdecode(path), _DIRECTORY, _INSIDE)
        except (FileNotFoundError, NotADirectoryError):
            found = self._imply(path)
        self._keep(path, found)
        return found

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """The directory an entry lies in, and its name there."""
        head, _, name = path.rpartition(b"/")
        return self.directory(head), name

    def _imply(self, path: bytes) -> int:
        """Make a directory and those above it that are missing; one after the other, however deep it lies."""
        parts = path.split(b"/")
        known = len(parts) - 1
        while known and not self._is_there(b"/".join(parts[:known])):
            known -= 1
        for number in range(known + 1, len(parts)):
            above = b"/".join(parts[:number])
            self._keep(above, self._imply_one(above))
        return self._imply_one(path)

    def _is_there(self, path: bytes) -> bool:
        try:
            self._keep(path, linux.openat2(self._root, os.fsdecode(path), _DIRECTORY, _INSIDE))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _imply_one(self, path: bytes) -> int:
        parent, name = self.parent(path)
        facts = self.look(parent, name)
        if facts is not None and not (self.form is Form.DEVICE and is_device(facts)):
            raise TarError(f"{path!r} is not a directory, but entries lie in it")
        self.make_directory(parent, name, 0o755)
        made = os.open(name, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        if self._owner != (0, 0):
            os.fchown(made, *self._owner)
        self.implied.append(path)
        implied.imitate(made, path, self._parents)
        return made

    def _keep(self, path: bytes, descriptor: int) -> None:
        if path in self._open:
            os.close(self._open.pop(path))
        self._open[path] = descriptor
        if len(self._open) > _KEPT:
            os.close(self._open.popitem(last=False)[1])

    def forget(self) -> None:
        self._stale = False
        while self._open:
            os.close(self._open.popitem()[1])

    def close(self) -> None:
        self.forget()
        os.close(self._root)

    # One directory's names

    def look(self, parent: int, name: bytes) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def hide(self, parent: int, name: bytes) -> None:
        """Put a whiteout; what this layer has under that name hides the parents' by itself."""
        facts = self.look(parent, name)
        if facts is not None and stat.S_ISDIR(facts.st_mode):
            self.set_opaque(parent, name)
        elif facts is None and self.form is Form.DEVICE:
            if not _is_opaque(parent):
                os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent)
        elif facts is None:
            _touch(parent, PREFIX + name)
            self._hidden = True

    def uncover(self, parent: int, name: bytes) -> bool:
        """Take aufs's whiteout of a name that this layer brings after all; whether there was one.

        Only aufs has both in one directory, and there the whiteout would win.
        """
        if not self._hidden:
            return False
        try:
            os.unlink(PREFIX + name, dir_fd=parent)
        except FileNotFoundError:
            return False
        return True

    def make_directory(self, parent: int, name: bytes, mode: int) -> None:
        """Make a directory, or keep the one that is there; in place of a whiteout it is opaque."""
        if self.uncover(parent, name):
            os.mkdir(name, mode, dir_fd=parent)
            self.set_opaque(parent, name)
            return
        try:
            os.mkdir(name, mode, dir_fd=parent)
        except FileExistsError:
            facts = self.look(parent, name)
            if facts is not None and stat.S_ISDIR(facts.st_mode):
                return
            self.remove(parent, name)
            os.mkdir(name, mode, dir_fd=parent)
            if self.form is Form.DEVICE and facts is not None and is_device(facts):
                self.set_opaque(parent, name)

    def set_opaque(self, parent: int, name: bytes) -> None:
        descriptor = os.open(name, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            self.make_opaque(descriptor)
        finally:
            os.close(descriptor)

    def make_opaque(self, directory: int) -> None:
        if self.form is Form.DEVICE:
            os.setxattr(directory, OPAQUE_XATTR, b"y")
            for name in os.listdir(directory):  # whiteouts hide nothing now, but the kernel would list them
                if is_device(os.stat(name, dir_fd=directory, follow_symlinks=False)):
                    os.unlink(name, dir_fd=directory)
        else:
            _touch(directory, OPAQUE)

    def discard(self, path: bytes) -> None:
        """Remove an implied directory of the root again."""
        self.remove(self._root, path)
        if path in self.implied:
            self.implied.remove(path)

    def remove(self, parent: int, name: bytes) -> None:
        """Remove whatever has that name, with all it holds; not an error where there is nothing."""
        facts = self.look(parent, name)
        if facts is None:
            return
        if stat.S_ISDIR(facts.st_mode):
            trees.remove(name, parent)
        else:
            os.unlink(name, dir_fd=parent)
        self.replaced = True
        self._stale = self._stale or stat.S_ISDIR(facts.st_mode) or stat.S_ISLNK(facts.st_mode)


def _is_opaque(directory: int) -> bool:
    try:
        return os.getxattr(directory, OPAQUE_XATTR) == b"y"
    except OSError:
        return False


def _touch(directory: int, name: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(name, flags, 0o444, dir_fd=directory))
