"""Memory that the forks of a warm process share with it, and with one another, again after they wrote to it.

A reference count that went up and down leaves a copied page that says nothing new, and forks that did the same hold
the same. `seal` moves the warm process's memory into a file, mapped privately in the same place. `release` is for a
fork that rests: the first one's memory becomes another file, and each one's pages that equal those of such a file are
let go of. Memory reads the same before and after and must not change meanwhile: hence protos/chain.py. A chain that
breaks off costs memory and nothing else. For processes of one thread.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import select
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from protos import chain

_PAGE: Final = mmap.PAGESIZE
_CHUNK: Final = 64 * _PAGE
_NAME: Final = "sealed"
_SMALLEST: Final = 64 << 10
"""Bytes; smaller pieces are not worth it."""
_RUNS: Final = 1024
"""Runs of pages that one readv(2) takes."""
_READS: Final = 4
_VECTOR: Final = 16
_RUNS_SIZE: Final = _RUNS * _READS * _VECTOR
_ROOM: Final = 4096
"""Bytes for small things."""
_KINDS: Final = 3
"""Forks that may become a file: each takes as much memory as the warm process."""
_PATIENCE: Final = 5
"""Seconds that the comparing child may take."""
_SYS_CLONE3: Final = 435  # on every architecture
_WALL: Final = 0x40000000
_MAP_FIXED: Final = 0x10
_MAPPED: Final = mmap.MAP_PRIVATE | _MAP_FIXED
_WRITABLE: Final = mmap.PROT_READ | mmap.PROT_WRITE
_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL

_libc: Final = ctypes.PyDLL(None, use_errno=True)

Pages = list[tuple[int, bytes]]
"""Address and content."""


class Sealed(NamedTuple):
    """Files that forks have to keep open."""

    warm: int
    """The memory of the process that was sealed."""
    resting: tuple[int, ...]
    """Those of forks that rested and were like none before; empty until then, and sealed afterwards."""
    apart: int
    """Pages that may differ before another of these is made."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        return self.warm, *self.resting


class Mapping(NamedTuple):
    start: int
    length: int
    permissions: str
    offset: int
    name: str

    @property
    def sealed(self) -> bool:
        return self.name.startswith(f"/memfd:{_NAME}")

    @property
    def worthwhile(self) -> bool:
        """The heap, anonymous memory, the interpreter's data; not stacks, nor what a file is written by."""
        ours = self.name in ("", "[heap]") or "python" in Path(self.name).name
        return self.permissions == "rw-p" and self.length >= _SMALLEST and (ours or self.sealed)


def _mappings() -> list[Mapping]:
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, permissions, offset, _, _, *name = line.split(maxsplit=5)
        start, end = (int(each, 16) for each in addresses.split("-"))
        found.append(Mapping(start, end - start, permissions, int(offset, 16), "".join(name)))
    return found


# in the warm process


def seal(apart: int = 384) -> Sealed:
    """Move this process's memory into a file. OSError where that fails."""
    if not chain.available():
        raise OSError(errno.ENOSYS, "the C library has no contexts")
    mappings = [each for each in _mappings() if each.worthwhile]
    warm, *resting = (os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING) for _ in range(1 + _KINDS))
    try:
        for file in resting:
            os.truncate(file, sum(each.length for each in mappings))
        _move(mappings, warm)
        fcntl.fcntl(warm, fcntl.F_ADD_SEALS, _SEALS)  # no fork can write what others read
    except OSError:
        for file in (warm, *resting):
            os.close(file)
        raise
    return Sealed(warm, tuple(resting), apart)


def _move(mappings: list[Mapping], fd: int) -> None:
    copies: list[chain.Call] = []
    places: list[chain.Call] = []
    offset = 0
    for each in mappings:
        copies.append(("pwrite", (fd, each.start, each.length, offset)))
        places.append(("mmap", (each.start, each.length, _WRITABLE, _MAPPED, fd, offset)))
        offset += each.length
    os.posix_fallocate(fd, 0, offset)  # here it may fail, in the chain it may not
    room = chain.Room(len(copies + places) + 1, _ROOM)
    quiet = chain.Quiet(room)
    links = chain.Chain(room)
    links.precede(copies + places, room)
    links.run()
    quiet.end()


def _is_sealed(fd: int) -> bool:
    return bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE)


# in a fork


def release(memory: Sealed, until: int = -1, seconds: float | None = None) -> None:
    """Let go of copied pages that equal those of a file. OSError where there is no child to compare them.

    Python, which would make them differ again, stays away until the descriptor `until` is readable, a signal has
    arrived, or `seconds` have passed.
    """
    rooms, quiet, links = _prepare(memory, until, seconds)
    links.run()
    quiet.end()
    del links, quiet, rooms


def _prepare(memory: Sealed, until: int, seconds: float | None) -> tuple[object, chain.Quiet, chain.Chain]:
    """A chain that waits while a child compares.

    The child leaves the contents of pages that differ in `scratch` and their addresses in `runs`, and says that it is
    done by sending the file. The chain maps that by the number it arrives under, and reads back what differs: without
    a child's word there is no such number, and nothing happens.
    """
    mappings = [each for each in _mappings() if each.sealed]
    kept, room = chain.Room(3, _ROOM), chain.Room(len(mappings) + _READS + 7, _RUNS_SIZE + _ROOM)
    runs, message = room.take(_RUNS_SIZE), room.take(_ROOM // 2)
    channel, theirs = _channel()
    scratch = os.memfd_create("scratch", os.MFD_CLOEXEC)
    quiet = chain.Quiet(kept)
    try:
        parent = os.getpid()
        child = _fork()
        if child == 0:
            os.close(channel)
            _be_child(f"/proc/{parent}/mem", mappings, memory, theirs, scratch, runs)
    except BaseException:
        for each in (channel, theirs, scratch):
            os.close(each)
        quiet.end()
        raise
    os.close(theirs)  # so that a child's end is seen
    arrived = os.dup(scratch)
    os.close(arrived)
    links = chain.Chain(kept)
    if until >= 0:
        links.precede([room.empty(), _wait(kept, until, seconds, quiet)], kept)
    links.precede([
        ("write", (channel, message, 1)),
        ("recvmsg", (channel, _header(message), socket.MSG_CMSG_CLOEXEC)),
        *(("mmap", (each.start, each.length, _WRITABLE, _MAPPED, arrived, each.offset)) for each in mappings),
        *(("readv", (scratch, runs + number * _RUNS * _VECTOR, _RUNS)) for number in range(_READS)),
        ("kill", (child, signal.SIGKILL)),
        ("waitpid", (child, 0, _WALL)),
        *(("close", (each,)) for each in (arrived, scratch, channel)),
    ], room)
    return (kept, room), quiet, links


def _wait(room: chain.Room, descriptor: int, seconds: float | None, quiet: chain.Quiet) -> chain.Call:
    """ppoll(2), which lets signals in."""
    poll, time = room.take(8), room.take(16)
    ctypes.memmove(poll, struct.pack("ihh", descriptor, select.POLLIN, 0), 8)
    if seconds is None:
        time = 0
    else:
        ctypes.memmove(time, struct.pack("ll", int(seconds), int(seconds % 1 * 1e9)), 16)
    return "ppoll", (poll, 1, time, quiet.before)


def _channel() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _PATIENCE, 0))
    return ours.detach(), theirs.detach()


def _fork() -> int:
    """A child whose end is no signal, and no business of those who wait for any child."""
    arguments = (ctypes.c_uint64 * 8)()
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = int(_libc.syscall(_SYS_CLONE3, ctypes.byref(arguments), ctypes.c_size_t(ctypes.sizeof(arguments))))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(ctypes.get_errno(), "clone3")
    return pid


def _header(room: int) -> int:
    """The address of a struct msghdr for a byte and a descriptor."""
    byte, vector, control, header = room, room + 64, room + 128, room + 256
    ctypes.memmove(vector, struct.pack("PN", byte, 1), 16)
    ctypes.memmove(header, struct.pack("PI4xPNPNi4x", 0, 0, vector, 1, control, 64, 0), 56)
    return header


def _be_child(
    path: str, mappings: list[Mapping], memory: Sealed, channel: int, scratch: int, runs: int
) -> NoReturn:
    try:
        os.read(channel, 1)  # from now on it stands still
        with Path(path).open("rb", buffering=0) as file:
            reference, pages = _choose(file.fileno(), mappings, memory)
        _hand_over(pages, scratch, runs)
        os.lseek(scratch, 0, os.SEEK_SET)
        with socket.socket(fileno=channel) as sock:
            socket.send_fds(sock, [b"\0"], [reference])
    finally:
        os._exit(0)


def _choose(source: int, mappings: list[Mapping], memory: Sealed) -> tuple[int, Pages]:
    """A file, and the pages that differ from it; ours from now on, where none is much like us and one is empty."""
    best: tuple[int, Pages] | None = None
    for file in memory.resting:
        if _publish(source, mappings, file):
            return file, []
        if not _is_sealed(file):
            break
        pages = list(_different(source, mappings, file))
        if best is None or len(pages) < len(best[1]):
            best = file, pages
        if len(pages) <= memory.apart:
            break
    return best or (memory.warm, list(_different(source, mappings, memory.warm)))


def _publish(source: int, mappings: list[Mapping], file: int) -> bool:
    """Make an empty file ours; waits where another does that now."""
    if _is_sealed(file):
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_EX)
        if _is_sealed(file):
            return False
        for _, offset, data in _chunks(source, mappings):
            os.pwrite(file, data, offset)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
        return True
    except OSError:  # no memory for it
        return False
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN)


def _chunks(source: int, mappings: list[Mapping]) -> Iterator[tuple[int, int, bytes]]:
    """Address, offset in the file and content."""
    for each in mappings:
        for done in range(0, each.length, _CHUNK):
            data = os.pread(source, min(_CHUNK, each.length - done), each.start + done)
            yield each.start + done, each.offset + done, data


def _hand_over(pages: Pages, scratch: int, runs: int) -> None:
    """IndexError where there are more runs of pages than `runs` has room for."""
    vectors = (ctypes.c_ulong * (_RUNS * _READS * 2)).from_address(runs)
    count, end = 0, 0
    for address, page in pages:
        os.write(scratch, page)
        if address != end:
            vectors[2 * count] = address
            count += 1
        vectors[2 * count - 1] += _PAGE
        end = address + _PAGE


def _different(source: int, mappings: list[Mapping], reference: int) -> Iterator[tuple[int, bytes]]:
    """Address and content of each page that is not as in the file."""
    for address, offset, ours in _chunks(source, mappings):
        theirs = os.pread(reference, len(ours), offset)
        if ours == theirs:
            continue
        for at in range(0, len(ours), _PAGE):
            page = ours[at : at + _PAGE]
            if page != theirs[at : at + _PAGE]:
                yield address + at, page
