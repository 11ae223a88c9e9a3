"""Signal dispositions a test run should not inherit: make's posix_spawn leaves glibc's own signals ignored."""

import ctypes
import os

RT_SIGACTION = {"x86_64": 13, "aarch64": 134}


def default_library_signals() -> None:
    """Signals 32 and 33 at their default, by the bare system call, since glibc keeps them for itself."""
    libc = ctypes.CDLL(None)
    for number in (32, 33):
        libc.syscall(RT_SIGACTION[os.uname().machine], number, bytes(32), None, ctypes.c_size_t(8))
