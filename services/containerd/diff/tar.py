"""Reads tar archives as they stream: ustar, pax, GNU (long names, base-256 numbers, sparse files), v7.

Names stay bytes. Whatever is malformed, negative or out of bounds is a TarError: nothing is guessed.
"""

import os
import struct
from collections.abc import Callable, Iterator
from typing import Final

from services.containerd.diff import kinds
from services.containerd.diff.entry import MAX_SIZE, Entry, TarError, check, check_extents
from services.containerd.diff.fields import data_size, decimal, head, number, old_extents, override, records, verify

BLOCK: Final = 512
MAX_META: Final = 1 << 20
"""Bytes that one pax header or long name may have."""
_KINDS: Final = {kind: kind for kind in kinds.ALL} | {
    b"\0": kinds.FILE, b"7": kinds.FILE, b"S": kinds.FILE, b"D": kinds.DIRECTORY,
}
_HEADER: Final = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_ZEROS: Final = bytes(BLOCK)


LARGE: Final = 1 << 20
"""Bytes of a file that are worth a copy by the kernel."""
Copy = Callable[[int, int], int]
"""Moves up to so many bytes that would be the next chunks to a descriptor; how many it did, 0 where it cannot."""


class Reader:
    """Iterate over the entries; `data` gives the bytes of the one at hand, unread ones are skipped."""

    def __init__(self, chunks: Iterator[bytes], copy: Copy = lambda target, most: 0) -> None:
        self._chunks = chunks
        self._copy = copy
        self._chunk = memoryview(b"")
        self._at = 0
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        pax: dict[str, bytes] = {}
        name = link = b""
        while (block := self._next_block()) is not None:
            kind = block[156:157]
            if kind in (b"x", b"X"):
                pax = records(self._meta(block))
            elif kind == b"g":
                records(self._meta(block))  # of all entries: only looked at, as in Docker
            elif kind == b"L":
                name = self._meta(block).partition(b"\0")[0]
            elif kind == b"K":
                link = self._meta(block).partition(b"\0")[0]
            elif kind == b"V":
                self._skip_data(data_size(block))
            else:
                yield self._entry(block, pax, name, link)
                pax, name, link = {}, b"", b""
        if pax or name or link:
            raise TarError("archive ends after an extended header")

    def data(self) -> Iterator[memoryview]:
        """The bytes of the entry at hand, in pieces that are valid until the next one is asked for."""
        while self._left:
            piece = self._piece(self._left)
            self._left -= len(piece)
            yield piece

    def write_to(self, target: int) -> None:
        """Write the bytes of the entry at hand to a descriptor. Blocks."""
        while self._left:
            if self._left >= LARGE and self._at == len(self._chunk) and (moved := self._copy(target, self._left)):
                self._left -= moved
                continue
            piece = self._piece(self._left)
            self._left -= len(piece)
            while (written := os.write(target, piece)) < len(piece):
                piece = piece[written:]

    def rest(self) -> Iterator[memoryview]:
        """Whatever follows the end of the archive."""
        while self._more():
            yield self._piece(len(self._chunk))

    # Entries

    def _next_block(self) -> bytes | None:
        if self._left:
            for _ in self.data():
                pass
        end = self._at + self._padding + BLOCK
        if end <= len(self._chunk):
            block = bytes(self._chunk[end - BLOCK : end])
            self._at, self._padding = end, 0
        else:
            while self._padding and self._more():
                self._padding -= len(self._piece(self._padding))
            self._padding = 0
            if not self._more():
                return None
            block = self._take(BLOCK)
        if block == _ZEROS:
            if self._more() and self._take(BLOCK) != _ZEROS:
                raise TarError("an empty block stands in the midst of the archive")
            return None
        verify(block)
        return block

    def _entry(self, block: bytes, pax: dict[str, bytes], long_name: bytes, long_link: bytes) -> Entry:
        name, mode, uid, gid, size, mtime, _, flag, link, magic, _, _, major, minor, prefix = _HEADER.unpack(block)
        kind = _KINDS.get(flag)
        if kind is None:
            raise TarError(f"entry type {flag!r} is not known")
        name = name.partition(b"\0")[0]
        if start := head(magic, prefix, block[508:]):
            name = start + b"/" + name
        entry = Entry(
            name=name, kind=kind, mode=number(mode) & 0o7777, uid=number(uid), gid=number(gid),
            size=number(size), mtime=number(mtime) * 10**9, link=link.partition(b"\0")[0],
        )
        if kind in (kinds.CHARACTER, kinds.BLOCK_DEVICE):
            entry.major, entry.minor = number(major), number(minor)
        if pax:
            override(entry, pax)
        entry.name, entry.link = long_name or entry.name, long_link or entry.link
        if flag == b"\0" and entry.name.endswith(b"/"):
            entry.kind = kinds.DIRECTORY
        self._measure(entry, block, pax)
        check(entry)
        return entry

    def _measure(self, entry: Entry, block: bytes, pax: dict[str, bytes]) -> None:
        """Find out how much data follows and where it goes."""
        if entry.kind != kinds.FILE and block[156:157] != b"D":
            entry.size = 0
        if entry.size < 0 or entry.size > MAX_SIZE:
            raise TarError(f"size {entry.size} of {entry.name!r} is out of bounds")
        entry.length = entry.size
        self._left, self._padding = entry.size, -entry.size % BLOCK
        if block[156:157] == b"S":
            self._old_sparse(entry, block)
        elif entry.kind == kinds.FILE and pax:
            self._pax_sparse(entry, pax)

    # Sparse files

    def _old_sparse(self, entry: Entry, block: bytes) -> None:
        entry.extents = old_extents(block[386:482])
        entry.length = number(block[483:495])
        more = block[482]
        while more:
            extension = self._take(BLOCK)
            entry.extents += old_extents(extension[:504])
            more = extension[504]
            if len(entry.extents) > MAX_META // 24:
                raise TarError(f"{entry.name!r} has too many extents")
        self._left, self._padding = entry.size, -entry.size % BLOCK
        check_extents(entry)

    def _pax_sparse(self, entry: Entry, pax: dict[str, bytes]) -> None:
        version = (pax.get("GNU.sparse.major"), pax.get("GNU.sparse.minor"))
        if version == (b"1", b"0"):
            entry.length = decimal(pax.get("GNU.sparse.realsize", b""))
            entry.extents = self._sparse_map(entry)
        elif pax.get("GNU.sparse.map"):
            entry.length = decimal(pax.get("GNU.sparse.size", b""))
            numbers = [decimal(part) for part in pax["GNU.sparse.map"].split(b",")]
            if len(numbers) != 2 * decimal(pax.get("GNU.sparse.numblocks", b"%d" % (len(numbers) // 2))):
                raise TarError(f"sparse map of {entry.name!r} is not whole")
            entry.extents = list(zip(numbers[::2], numbers[1::2], strict=True))
        else:
            return
        entry.name = pax.get("GNU.sparse.name") or entry.name
        check_extents(entry)

    def _sparse_map(self, entry: Entry) -> list[tuple[int, int]]:
        """The map that precedes the data of a pax 1.0 sparse file: decimal lines, padded to a block."""
        text, ends, wanted = bytearray(), 0, 1
        while ends < wanted:
            if len(text) > MAX_META or entry.size - len(text) < BLOCK:
                raise TarError(f"sparse map of {entry.name!r} is not whole")
            block = self._take(BLOCK)
            ends += block.count(b"\n")
            text += block
            if wanted == 1 and ends:
                wanted = 1 + 2 * decimal(bytes(text.partition(b"\n")[0]))
        entry.size -= len(text)
        self._left = entry.size
        numbers = [decimal(line) for line in bytes(text).split(b"\n")[1:wanted]]
        return list(zip(numbers[::2], numbers[1::2], strict=True))

    # Extended headers

    def _meta(self, block: bytes) -> bytes:
        size = data_size(block)
        if size > MAX_META:
            raise TarError(f"an extended header of {size} bytes is too long")
        text = self._take(size)
        self._take(-size % BLOCK)
        return text

    def _skip_data(self, size: int) -> None:
        self._left, self._padding = size, -size % BLOCK

    # The stream

    def _more(self) -> bool:
        """Whether a byte is left; the end of the stream counts as the end of the archive."""
        while self._at == len(self._chunk):
            following = next(self._chunks, None)
            if following is None:
                return False
            self._chunk, self._at = memoryview(following), 0
        return True

    def _piece(self, most: int) -> memoryview:
        if not self._more():
            raise TarError("archive ends in the middle of an entry")
        piece = self._chunk[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end <= len(self._chunk):
            taken = bytes(self._chunk[self._at : end])
            self._at = end
            return taken
        parts = []
        while size:
            piece = self._piece(size)
            parts.append(bytes(piece))
            size -= len(piece)
        return b"".join(parts)
