"""C functions called one after the other with nothing of Python between them.

makecontext(3) links them, one swapcontext(3) runs them: while a chain runs, no reference count, no free list and no
cache of the interpreter changes. What the functions return is not to be known.
"""

import ctypes
import mmap
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SLOT: Final = 16 << 10
"""Bytes for a ucontext_t, and for the stack of one call: signals, which need more, are held back."""
_libc: Final = ctypes.PyDLL(None)

Call = tuple[str, tuple[int, ...]]
"""A function of the C library, and its arguments: numbers and addresses, six at most."""


class _Context(ctypes.Structure):
    """The head of a ucontext_t."""

    _fields_ = (
        ("flags", ctypes.c_ulong), ("link", ctypes.c_void_p),
        ("stack", ctypes.c_void_p), ("stack_flags", ctypes.c_int), ("stack_size", ctypes.c_size_t),
    )


class Room:
    """Memory for a chain of `calls` and `more` bytes: a shared mapping of its own, that forks write to as well."""

    def __init__(self, calls: int, more: int = 0) -> None:
        self._memory = mmap.mmap(-1, (calls + 1) * 2 * _SLOT + more)
        self._free = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))

    def take(self, size: int) -> int:
        """The address of `size` zeros."""
        address = self._free
        self._free += -(-size // 64) * 64
        return address


def available() -> bool:
    """Whether the C library has contexts; musl's has not."""
    return all(hasattr(_libc, each) for each in ("getcontext", "makecontext", "swapcontext"))


@contextmanager
def undisturbed() -> Iterator[None]:
    """No signal arrives meanwhile: its handler would run in the midst of a chain."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(calls: list[Call], room: Room) -> None:
    """To be called `undisturbed`."""
    back = following = _context(room, 0)
    for function, arguments in reversed(calls):
        context = _context(room, following)
        code = ctypes.cast(_libc[function], ctypes.c_void_p)
        _libc.makecontext(ctypes.c_void_p(context), code, len(arguments), *map(ctypes.c_ulong, arguments))
        following = context
    _libc.swapcontext(ctypes.c_void_p(back), ctypes.c_void_p(following))


def _context(room: Room, link: int) -> int:
    address = room.take(_SLOT)
    _libc.getcontext(ctypes.c_void_p(address))
    head = _Context.from_address(address)
    head.link, head.stack, head.stack_size = link, room.take(_SLOT), _SLOT
    return address
