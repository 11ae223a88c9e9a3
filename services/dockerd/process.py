"""This process as the kernel and `ps` see it: name, command line, orphans, memory arenas."""

import ctypes
import os
from pathlib import Path
from typing import Final

PR_SET_MM: Final = 35
PR_SET_MM_ARG_END: Final = 9
PR_SET_CHILD_SUBREAPER: Final = 36
M_ARENA_MAX: Final = -8

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]


def set_title(comm: str, argv: list[str]) -> None:
    """Name this process: comm, and a command line that fits into the memory of the original one."""
    Path("/proc/self/comm").write_text(comm[:15])
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    text = b"\0".join(os.fsencode(word) for word in argv) + b"\0"
    if 0 < len(text) <= end - start:
        ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)
        _libc.prctl(PR_SET_MM, PR_SET_MM_ARG_END, start + len(text), 0, 0)


def become_subreaper() -> None:
    """Orphans of docker-containerd become our children, so that a shim's exit is never lost to init."""
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def limit_arenas(count: int) -> None:
    """One heap for all threads but the main one: they are few and short, and each arena costs memory."""
    _libc.mallopt(M_ARENA_MAX, count)
