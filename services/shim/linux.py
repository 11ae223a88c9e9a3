"""The kernel in its own words: the calls a shim needs and Python lacks, each raising OSError(errno, text, path)."""

import ctypes
import fcntl
import os
import struct
import sys
import termios
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
CLONE_NEWNS: Final = 0x00020000
CLOSE_RANGE_CLOEXEC: Final = 4
MNT_DETACH: Final = 2
AT_FDCWD: Final = -100
_SYS_RT_SIGACTION: Final = {"x86_64": 13, "aarch64": 134}
AT_SYMLINK_NOFOLLOW: Final = 0x100
STATX_ATTR_MOUNT_ROOT: Final = 0x2000
MOVE_MOUNT_F_EMPTY_PATH: Final = 0x4
MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40
MOVE_MOUNT_SET_GROUP: Final = 0x100
SO_PEEK_OFF: Final = 42
"""Where the next peek begins; -1 is the beginning always."""
IN_MODIFY: Final = 0x2
IN_NONBLOCK: Final = os.O_NONBLOCK
IN_CLOEXEC: Final = os.O_CLOEXEC

MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_SYNCHRONOUS: Final = 0x10
MS_REMOUNT: Final = 0x20
MS_DIRSYNC: Final = 0x80
MS_NOATIME: Final = 0x400
MS_NODIRATIME: Final = 0x800
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x40000
MS_RELATIME: Final = 0x200000
MS_STRICTATIME: Final = 0x1000000

# Numbers that all architectures share, being newer than the unified table.
_SYS_MOVE_MOUNT: Final = 429
_SYS_CLOSE_RANGE: Final = 436

_libc: Final = ctypes.CDLL(None, use_errno=True)


def _check(result: int, path: str | None = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0))


def set_child_subreaper() -> None:
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def set_parent_death_signal(number: int) -> None:
    _prctl(PR_SET_PDEATHSIG, number)


def default_library_signals() -> None:
    """Undo an inherited ignore of glibc's own signals, 32 and 33, which `signal` refuses to touch.

    A parent that used posix_spawn (make does) leaves them ignored, and so they would be down to the container.
    """
    number = _SYS_RT_SIGACTION.get(os.uname().machine)
    for reserved in (32, 33) if number else ():
        _libc.syscall(number, reserved, bytes(32), None, ctypes.c_size_t(8))


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags))


def close_on_exec(first: int) -> None:
    """Mark every descriptor from `first` on: whatever was inherited carelessly ends with the next exec."""
    _check(_libc.syscall(_SYS_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(0xFFFFFFFF), CLOSE_RANGE_CLOEXEC))


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    _check(
        _libc.mount(
            os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags),
            os.fsencode(data) if data else None,
        ),
        target,
    )


def umount(target: str, flags: int = 0) -> None:
    _check(_libc.umount2(os.fsencode(target), flags), target)


def is_mount_root(path: str) -> bool:
    """Whether `path`, no link followed at its end, is where something is mounted (Linux 5.8)."""
    found = (ctypes.c_uint64 * 32)()  # struct statx; stx_attributes is its second word
    _check(_libc.statx(AT_FDCWD, os.fsencode(path), AT_SYMLINK_NOFOLLOW, 0, found), path)
    return bool(found[1] & STATX_ATTR_MOUNT_ROOT)


def join_mount_group(source: int, target: int) -> None:
    """Make the private mount `target` a peer of `source`, both given by descriptor (Linux 5.15)."""
    flags = MOVE_MOUNT_SET_GROUP | MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    _check(_libc.syscall(_SYS_MOVE_MOUNT, source, b"", target, b"", flags))


def bytes_pending(fd: int) -> int:
    """How much of a pipe, socket or terminal can be read at once."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def set_window_size(terminal: int, width: int, height: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def inotify(path: str, mask: int) -> int:
    """A descriptor that is readable when `path` changes as `mask` says."""
    fd = _check(_libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC))
    try:
        _check(_libc.inotify_add_watch(fd, os.fsencode(path), mask), path)
    except OSError:
        os.close(fd)
        raise
    return fd
