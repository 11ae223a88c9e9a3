"""C functions called one after the other with nothing of Python between them.

makecontext(3) links them, one swapcontext(3) runs them: while a chain runs, no reference count, no free list and no
cache of the interpreter changes. What the functions return is not to be known.
"""

import ctypes
import mmap
import signal
from collections.abc import Sequence
from typing import Final

_SLOT: Final = 64 << 10
"""Bytes for a ucontext_t, and for the stack of one call, be it one that lets signals in; hardly touched."""
_MADV_REMOVE: Final = 9
_MASK: Final = 128
"""Bytes of a sigset_t."""
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
    """Memory for `calls` calls and `more` bytes: a shared mapping of its own, so that a fork's writes arrive."""

    def __init__(self, calls: int, more: int = 0) -> None:
        self._memory = mmap.mmap(-1, calls * 2 * _SLOT + more)
        self._free = self.start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))

    def take(self, size: int) -> int:
        """The address of `size` zeros."""
        address = self._free
        self._free += -(-size // 64) * 64
        return address

    def empty(self) -> Call:
        """A call that gives back its pages; not for the room that it is itself in."""
        return "madvise", (self.start, len(self._memory), _MADV_REMOVE)


def available() -> bool:
    """Whether the C library has contexts; musl's has not."""
    return all(hasattr(_libc, each) for each in ("getcontext", "makecontext", "swapcontext"))


class Quiet:
    """No signal arrives from its making to `end`, unless a call lets it in: its handler writes to memory.

    By C's own calls, since those of the module `signal` make an enumeration's member of every signal.
    """

    def __init__(self, room: Room) -> None:
        every, self.before = room.take(_MASK), room.take(_MASK)
        ctypes.memset(every, 0xFF, _MASK)
        _libc.pthread_sigmask(int(signal.SIG_BLOCK), ctypes.c_void_p(every), ctypes.c_void_p(self.before))

    def end(self) -> None:
        _libc.pthread_sigmask(int(signal.SIG_SETMASK), ctypes.c_void_p(self.before), None)


class Chain:
    """Made from its end, and run once while there is `Quiet`. Rooms have to be kept until then."""

    def __init__(self, room: Room) -> None:
        self._back = self._first = _context(room, 0)

    def precede(self, calls: Sequence[Call], room: Room) -> None:
        """Put calls before those there are."""
        for function, arguments in reversed(calls):
            context = _context(room, self._first)
            code = ctypes.cast(_libc[function], ctypes.c_void_p)
            _libc.makecontext(ctypes.c_void_p(context), code, len(arguments), *map(ctypes.c_ulong, arguments))
            self._first = context

    def run(self) -> None:
        _libc.swapcontext(ctypes.c_void_p(self._back), ctypes.c_void_p(self._first))


def _context(room: Room, link: int) -> int:
    address = room.take(_SLOT)
    _libc.getcontext(ctypes.c_void_p(address))
    head = _Context.from_address(address)
    head.link, head.stack, head.stack_size = link, room.take(_SLOT), _SLOT
    return address
