"""What `ps` shows of this process: its name and its command line."""

import ctypes
import logging
import os
from pathlib import Path
from typing import Final

log = logging.getLogger("title")

_PR_SET_NAME: Final = 15
_PR_SET_MM: Final = 35
_PR_SET_MM_ARG_START: Final = 8
_PR_SET_MM_ARG_END: Final = 9
_ARG_START: Final = 47
_libc: Final = ctypes.CDLL(None, use_errno=True)
_line: ctypes.Array[ctypes.c_char]


def set_title(*argv: str) -> None:
    """Show `argv` as the command line, its base name as the name."""
    global _line
    _libc.prctl(_PR_SET_NAME, os.fsencode(Path(argv[0]).name)[:15], 0, 0, 0)
    line = b"\0".join(os.fsencode(word) for word in argv) + b"\0"
    _line = ctypes.create_string_buffer(line, len(line))  # the kernel reads it there from now on
    start = ctypes.addressof(_line)
    if _set_mm(_PR_SET_MM_ARG_START, start) and _set_mm(_PR_SET_MM_ARG_END, start + len(line)):
        return
    _overwrite(line)


def _set_mm(field: int, address: int) -> bool:
    return int(_libc.prctl(_PR_SET_MM, field, ctypes.c_ulong(address), 0, 0)) == 0


def _overwrite(line: bytes) -> None:
    """Without CAP_SYS_RESOURCE: over the words the process was started with, as far as they reach."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = int(fields[_ARG_START - 2]), int(fields[_ARG_START - 1])
    if 0 < start < end:
        ctypes.memmove(start, line.ljust(end - start, b"\0")[: end - start - 1] + b"\0", end - start)
