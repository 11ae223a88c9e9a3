"""Compressed streams, recognised by their first bytes and decompressed as they arrive, in this process."""

import bz2
import lzma
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from typing import Any, Final, Protocol

from protos.errdefs import InvalidArgument, ResourceExhausted

SNIFF: Final = 8
"""Bytes that tell the format."""
_PIECE: Final = 1 << 20
"""Bytes that come out at once."""
_SLICE: Final = 2 << 10
"""Bytes of zstd that are fed at once: a block of 4 may stand for 128 KiB, and the library does not stop in between."""
FREE_SIZE: Final = 1 << 30
MAX_RATIO: Final = 1100
"""An archive of more than FREE_SIZE bytes may not be more than so many times its compressed size: gzip cannot be."""


class Decompressor(Protocol):
    """One member of a compressed stream."""

    eof: bool
    unused_data: bytes

    def inflate(self, data: bytes) -> Iterator[bytes]:
        """All that `data` gives, in pieces of bounded size."""
        ...


class _Bounded:
    """bzip2, xz and gzip: their decompressors give at most so many bytes and keep, or give back, the rest."""

    def __init__(self, made: Any) -> None:
        self._made = made
        self._returns = hasattr(made, "unconsumed_tail")
        self.eof = False
        self.unused_data = b""

    def inflate(self, data: bytes) -> Iterator[bytes]:
        while True:
            yield self._made.decompress(data, _PIECE)
            self.eof, self.unused_data = self._made.eof, bytes(self._made.unused_data)
            data = self._made.unconsumed_tail if self._returns else b""
            if self.eof or (not data if self._returns else self._made.needs_input):
                return


class _Zstd:
    def __init__(self) -> None:
        import zstandard  # costs 3 ms to import, and only images need it

        self._made = zstandard.ZstdDecompressor(max_window_size=128 << 20).decompressobj()
        self.eof = False
        self.unused_data = b""

    def inflate(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), _SLICE):
            yield self._made.decompress(data[at : at + _SLICE])
            if self._made.eof:
                self.eof, self.unused_data = True, self._made.unused_data + data[at + _SLICE :]
                return


def _gzip() -> Decompressor:
    from isal import isal_zlib  # as above

    return _Bounded(isal_zlib.decompressobj(wbits=31))


_FORMATS: Final[tuple[tuple[bytes, str, Callable[[], Decompressor]], ...]] = (
    (b"\x1f\x8b", "gzip", _gzip),
    (b"BZh", "bzip2", lambda: _Bounded(bz2.BZ2Decompressor())),
    (b"\xfd7zXZ\x00", "xz", lambda: _Bounded(lzma.LZMADecompressor(memlimit=256 << 20))),
    (b"\x28\xb5\x2f\xfd", "zstd", _Zstd),
)


def format_of(head: bytes) -> str:
    """`gzip`, `bzip2`, `xz`, `zstd`, or empty for none of them."""
    return next((name for magic, name, _ in _FORMATS if head.startswith(magic)), "")


def inflater(head: bytes) -> "Inflater | None":
    """What decompresses the stream that begins with `head`; None for one that is not compressed."""
    make = next((make for magic, _, make in _FORMATS if head.startswith(magic)), None)
    return Inflater(make) if make else None


async def plain(source: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The stream decompressed, or as it is where it is not compressed. Members that follow each other are joined."""
    chunks = aiter(source)
    head = b""
    while len(head) < SNIFF:
        chunk = await anext(chunks, b"")
        if not chunk:
            break
        head += chunk
    inflate = inflater(head)
    if inflate is None:
        if head:
            yield head
        async for chunk in chunks:
            yield chunk
        return
    for piece in inflate.feed(head):
        yield piece
    async for chunk in chunks:
        for piece in inflate.feed(chunk):
            yield piece
    inflate.finish()


class Inflater:
    """One compressed stream, fed in pieces; starts anew where one member ends and another begins."""

    def __init__(self, make: Callable[[], Decompressor]) -> None:
        self._make = make
        self._current: Decompressor | None = None
        self._taken = self._given = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes of `data`, in pieces of some megabytes at most, however little it was packed to."""
        self._taken += len(data)
        for piece in self._inflate(data):
            self._given += len(piece)
            if self._given > FREE_SIZE and self._given > MAX_RATIO * self._taken:
                raise ResourceExhausted(
                    f"archive grows beyond {MAX_RATIO} times its {self._taken} bytes; it is refused as a bomb"
                )
            yield piece

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._current is None:
                if not data.strip(b"\0"):
                    break  # padding after the last member
                self._current = self._make()
            try:
                yield from filter(None, self._current.inflate(data))  # nothing yet is not the end
            except Exception as error:  # zlib, lzma, zstandard and isal have classes of their own, imported only on use
                raise InvalidArgument(f"archive is not readable: {error}") from error
            data = b""
            if self._current.eof:
                data = self._current.unused_data
                self._current = None

    def finish(self) -> None:
        """InvalidArgument where the stream broke off in the middle."""
        if self._current is not None:
            raise InvalidArgument("archive is not readable: unexpected end of file")


class Reader:
    """Exact reads from a stream of chunks of any size."""

    def __init__(self, source: AsyncIterable[bytes]) -> None:
        self._chunks = aiter(source)
        self._buffer = b""

    async def some(self, limit: int) -> bytes:
        """Up to `limit` bytes; empty at the end."""
        if not self._buffer:
            self._buffer = await anext(self._chunks, b"")
        piece, self._buffer = self._buffer[:limit], self._buffer[limit:]
        return piece

    async def exactly(self, size: int) -> bytes:
        """`size` bytes, or fewer at the end of the stream."""
        parts: list[bytes] = []
        while size:
            piece = await self.some(size)
            if not piece:
                break
            parts.append(piece)
            size -= len(piece)
        return b"".join(parts)

    async def pieces(self, size: int, chunk: int) -> AsyncIterator[bytes]:
        """`size` bytes in pieces of `chunk`; InvalidArgument where the stream ends before."""
        while size:
            piece = await self.exactly(min(size, chunk))
            if not piece:
                raise InvalidArgument("archive is not readable: unexpected end of file")
            size -= len(piece)
            yield piece
