"""The kernel for dockerd's file work, in the kernel's own names: mounts without a namespace, names beneath a root.

Three-line wrappers that raise OSError(errno, text, path); no policy. Numbers are those of every architecture since 5.1.
"""

import ctypes
import os
import struct
from typing import Final

AT_FDCWD: Final = -100
AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000

RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10

OPEN_TREE_CLONE: Final = 1
MOVE_MOUNT_F_EMPTY_PATH: Final = 0x04
MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40
FSCONFIG_SET_FLAG: Final = 0
FSCONFIG_SET_STRING: Final = 1
FSCONFIG_CMD_CREATE: Final = 6
MOUNT_ATTR_RDONLY: Final = 0x01
MOUNT_ATTR_NOSUID: Final = 0x02
MOUNT_ATTR_NODEV: Final = 0x04
MOUNT_ATTR_NOEXEC: Final = 0x08

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_SYNCHRONOUS: Final = 16
MS_REMOUNT: Final = 32
MS_DIRSYNC: Final = 128
MS_NOATIME: Final = 1024
MS_NODIRATIME: Final = 2048
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20
MS_RELATIME: Final = 1 << 21
MS_STRICTATIME: Final = 1 << 24
MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8

AT_STATX_DONT_SYNC: Final = 0x4000
STATX_ATTR_MOUNT_ROOT: Final = 0x2000
CLONE_FS: Final = 0x00000200
CLONE_NEWNS: Final = 0x00020000

_OPEN_TREE: Final = 428
_MOVE_MOUNT: Final = 429
_FSOPEN: Final = 430
_FSCONFIG: Final = 431
_FSMOUNT: Final = 432
_OPENAT2: Final = 437
_MOUNT_SETATTR: Final = 442
_QUOTACTL_FD: Final = 443

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


def _check(result: int, path: str | None = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def openat2(dir_fd: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    how = struct.pack("=QQQ", flags, mode, resolve)
    return _check(_syscall(_OPENAT2, dir_fd, os.fsencode(path), how, ctypes.c_size_t(len(how))), path)


def open_tree(dir_fd: int, path: str, flags: int) -> int:
    return _check(_syscall(_OPEN_TREE, dir_fd, os.fsencode(path), flags | os.O_CLOEXEC), path)


def move_mount(mount_fd: int, target_fd: int) -> None:
    """Attach the detached mount of one descriptor on the place of the other."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    _check(_syscall(_MOVE_MOUNT, mount_fd, b"", target_fd, b"", flags))


def fsopen(fstype: str) -> int:
    return _check(_syscall(_FSOPEN, os.fsencode(fstype), 1), fstype)


def fsconfig(fs_fd: int, command: int, key: str | None = None, value: str | None = None) -> None:
    encoded = None if key is None else os.fsencode(key), None if value is None else os.fsencode(value)
    _check(_syscall(_FSCONFIG, fs_fd, command, *encoded, 0), value or key)


def fsmount(fs_fd: int, attributes: int = 0) -> int:
    return _check(_syscall(_FSMOUNT, fs_fd, 1, attributes))


def mount_setattr(mount_fd: int, attributes: int) -> None:
    """Set MOUNT_ATTR_* on every mount of the tree."""
    attr = struct.pack("=QQQQ", attributes, 0, 0, 0)
    flags = AT_EMPTY_PATH | AT_RECURSIVE
    _check(_syscall(_MOUNT_SETATTR, mount_fd, b"", flags, attr, ctypes.c_size_t(len(attr))))


def is_mount(path: str) -> bool:
    """Whether something is mounted at the path, a bind of the same file system included. Asks no file server."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.statx(AT_FDCWD, os.fsencode(path), AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, 0, buffer) < 0:
        return False
    attributes: int = struct.unpack_from("=Q", buffer, 8)[0]
    return bool(attributes & STATX_ATTR_MOUNT_ROOT)


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    arguments = os.fsencode(source), os.fsencode(target), os.fsencode(fstype) or None
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), os.fsencode(data) or None), target)


def umount2(target: str, flags: int = 0) -> None:
    _check(_libc.umount2(os.fsencode(target), flags), target)


def setns(fd: int, kind: int) -> None:
    _check(_libc.setns(fd, kind))


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags))


def quotactl_fd(fd: int, command: int, kind: int, identity: int, address: object) -> None:
    _check(_syscall(_QUOTACTL_FD, fd, (command << 8) | kind, identity, address))
