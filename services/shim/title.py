"""What `ps` shows of this process: its name and its command line.

The memory is taken at import, so that a shim forked from the zygote touches as little as it can.
"""

import ctypes
import os
from pathlib import Path
from typing import Final

_PR_SET_NAME: Final = 15
_PR_SET_MM: Final = 35
_PR_SET_MM_ARG_START: Final = 8
_PR_SET_MM_ARG_END: Final = 9
_ARG_START: Final = 47
_SIZE: Final = 4096
_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]
_buffer: Final = ctypes.create_string_buffer(_SIZE)  # the kernel reads the command line there
_start: Final = ctypes.addressof(_buffer)


def set_title(*argv: str) -> None:
    """Show `argv` as the command line, its first word as the name."""
    line = os.fsencode("\0".join(argv))[: _SIZE - 1] + b"\0"
    name = line.partition(b"\0")[0][:15] + b"\0"
    ctypes.memmove(_start, name, len(name))
    _libc.prctl(_PR_SET_NAME, _start, 0, 0, 0)
    ctypes.memmove(_start, line, len(line))
    if _libc.prctl(_PR_SET_MM, _PR_SET_MM_ARG_START, _start, 0, 0) < 0:
        _overwrite(line)
        return
    _libc.prctl(_PR_SET_MM, _PR_SET_MM_ARG_END, _start + len(line), 0, 0)


def _overwrite(line: bytes) -> None:
    """Without CAP_SYS_RESOURCE: over the words the process was started with, as far as they reach."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = int(fields[_ARG_START - 2]), int(fields[_ARG_START - 1])
    if 0 < start < end:
        ctypes.memmove(start, line.ljust(end - start, b"\0")[: end - start - 1] + b"\0", end - start)
