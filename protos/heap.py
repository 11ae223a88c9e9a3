"""The C library's heap, which stays as large as a transfer has made it: given back to the kernel once that is over."""

import asyncio
import ctypes
from typing import Final

_REST: Final = 1.0
"""Seconds after a transfer: by then its last buffers are free."""

_libc: Final = ctypes.CDLL(None)
_libc.malloc_trim.argtypes = [ctypes.c_size_t]


def trim() -> None:
    """Give back the pages that nothing lies in: a few milliseconds."""
    _libc.malloc_trim(0)


def trim_soon() -> None:
    """The same, once this transfer is over. Needs a running loop."""
    asyncio.get_running_loop().call_later(_REST, trim)
