"""The kernel as docker-containerd needs it, in its own words: constants and wrappers that raise OSError."""

import ctypes
import os
import struct
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_NAME: Final = 15
PR_SET_MM: Final = 35
PR_SET_MM_ARG_END: Final = 9
PR_SET_CHILD_SUBREAPER: Final = 36

RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10

MNT_DETACH: Final = 2
MS_BIND: Final = 0x1000
MS_REMOUNT: Final = 0x20
CLONE_FS: Final = 0x200

SYS_OPENAT2: Final = 437
SYS_QUOTACTL_FD: Final = 443
DT_UNKNOWN: Final = 0
_OPEN_HOW: Final = struct.Struct("=QQQ")

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
_libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
_libc.opendir.restype = _libc.readdir.restype = ctypes.c_void_p
_libc.readdir.argtypes = _libc.closedir.argtypes = [ctypes.c_void_p]
_DIRENT: Final = struct.Struct("=QqHB")


def _check(result: int, path: str = "") -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path or None)
    return result


def openat2(directory: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    """openat2(2): a descriptor of `path` beneath `directory`, resolved as `resolve` allows; always close-on-exec."""
    how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, mode, resolve)
    result = _libc.syscall(SYS_OPENAT2, directory, os.fsencode(path), how, _OPEN_HOW.size)
    return _check(result, path)


def syncfs(descriptor: int) -> None:
    """Write back the whole file system that `descriptor` lies on."""
    _check(_libc.syncfs(descriptor))


def mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
    _check(_libc.mount(source.encode(), os.fsencode(target), kind.encode(), flags, data.encode()), target)


def umount2(target: str, flags: int) -> None:
    _check(_libc.umount2(os.fsencode(target), flags), target)


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags))


def quotactl_fd(descriptor: int, command: int, number: int, argument: bytes) -> None:
    """quotactl_fd(2), since Linux 5.14: on the file system that `descriptor` lies on."""
    _check(_libc.syscall(SYS_QUOTACTL_FD, descriptor, command, number, argument))


def entry_types(directory: str) -> dict[str, int]:
    """The names in a directory with their d_type."""
    stream = _libc.opendir(os.fsencode(directory))
    if not stream:
        _check(-1, directory)
    found = {}
    try:
        while entry := _libc.readdir(stream):
            kind = _DIRENT.unpack(ctypes.string_at(entry, _DIRENT.size))[3]
            found[os.fsdecode(ctypes.string_at(entry + _DIRENT.size))] = kind
    finally:
        _libc.closedir(stream)
    return found


def become_subreaper() -> None:
    """Orphaned descendants become children of this process instead of init's."""
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def set_parent_death_signal(number: int) -> None:
    """Get this signal when the thread that started this process ends."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0))


def set_title(comm: str, argv: list[str]) -> None:
    """Name this process for `ps`: comm, and a command line that fits into the memory of the original one."""
    Path("/proc/self/comm").write_text(comm[:15])
    stat = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = int(stat[45]), int(stat[46])
    text = b"\0".join(os.fsencode(word) for word in argv) + b"\0"
    if not 0 < len(text) <= end - start:
        return
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)
    _libc.prctl(PR_SET_MM, PR_SET_MM_ARG_END, start + len(text), 0, 0)
