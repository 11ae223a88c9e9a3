"""Names beneath a root that somebody else controls, resolved by openat2 (RESOLVE_IN_ROOT) as if it were `/`.

Absolute links and `..` stay inside, magic links are refused. Nothing opens a path twice and trusts it to be the same.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from protos import errdefs
from services.dockerd import linux

_RESOLVE: Final = linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_MAGICLINKS
_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR)
MAX_LINKS: Final = 40


@contextlib.contextmanager
def closing(fd: int) -> Iterator[int]:
    """Close the descriptor at the end."""
    try:
        yield fd
    finally:
        os.close(fd)


def open_in(root: int, path: str, flags: int, mode: int = 0) -> int:
    """Open `path` beneath the directory descriptor `root`; O_CLOEXEC is added."""
    while True:
        try:
            return linux.openat2(root, path or ".", flags | os.O_CLOEXEC, mode, _RESOLVE)
        except OSError as error:
            if error.errno != errno.EAGAIN:  # a rename elsewhere made the kernel doubt its walk
                raise


def resolve(root: int, path: str) -> str:
    """The absolute in-root path that `path` leads to, links followed as far as they exist. Open it by `open_in`."""
    done: list[str] = []
    pending = path.split("/")[::-1]
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            del done[-1:]
        elif part not in ("", "."):
            target = _readlink(root, "/".join([*done, part]))
            if target is None:
                done.append(part)
                continue
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                done.clear()
            pending += target.split("/")[::-1]
    return "/" + "/".join(done)


def _readlink(root: int, path: str) -> str | None:
    try:
        fd = open_in(root, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
    with closing(fd):
        return os.readlink("", dir_fd=fd) if stat.S_ISLNK(os.fstat(fd).st_mode) else None


def read(root: int, path: str, limit: int) -> bytes | None:
    """A small regular file's bytes; None where there is none. Never opens a device or a pipe that may lie there."""
    try:
        place = open_in(root, path, os.O_PATH)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
    with closing(place):
        if not stat.S_ISREG(os.fstat(place).st_mode):
            raise errdefs.InvalidArgument(f"{path} of the container is not a regular file")
        with Path(f"/proc/self/fd/{place}").open("rb") as file:
            content = file.read(limit + 1)
    if len(content) > limit:
        raise errdefs.InvalidArgument(f"{path} of the container is larger than {limit} bytes")
    return content


def make_directories(root: int, path: str, mode: int = 0o755, owner: tuple[int, int] = (0, 0)) -> int:
    """Descriptor of the directory `path` beneath `root`, made, for `owner`, as far as it is missing."""
    current = os.dup(root)
    for part in resolve(root, path).split("/")[1:]:
        with closing(current):
            with contextlib.suppress(FileExistsError):
                if part:
                    os.mkdir(part, mode, dir_fd=current)
                    os.chown(part, *owner, dir_fd=current, follow_symlinks=False)
            current = linux.openat2(
                current, part or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0,
                linux.RESOLVE_BENEATH | linux.RESOLVE_NO_SYMLINKS,
            )
    return current
