"""Compressed streams, recognised by their first bytes and decompressed as they arrive, in this process."""

import bz2
import lzma
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Final, Protocol

from protos.errdefs import InvalidArgument

SNIFF: Final = 8
"""Bytes that tell the format."""


class Decompressor(Protocol):
    """What the standard library's and our libraries' incremental decompressors have in common."""

    def decompress(self, data: bytes, /) -> bytes: ...


def _gzip() -> Decompressor:
    from isal import isal_zlib  # costs 3 ms to import, and only images need it

    return isal_zlib.decompressobj(wbits=31)


def _zstd() -> Decompressor:
    import zstandard  # as above

    return zstandard.ZstdDecompressor().decompressobj()


_FORMATS: Final[tuple[tuple[bytes, str, Callable[[], Decompressor]], ...]] = (
    (b"\x1f\x8b", "gzip", _gzip),
    (b"BZh", "bzip2", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", "xz", lzma.LZMADecompressor),
    (b"\x28\xb5\x2f\xfd", "zstd", _zstd),
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

    def feed(self, data: bytes) -> list[bytes]:
        pieces: list[bytes] = []
        while data:
            if self._current is None:
                if not data.strip(b"\0"):
                    break  # padding after the last member
                self._current = self._make()
            try:
                pieces.append(self._current.decompress(data))
            except Exception as error:  # zlib, lzma, zstandard and isal have classes of their own, imported only on use
                raise InvalidArgument(f"archive is not readable: {error}") from error
            data = b""
            if getattr(self._current, "eof", False):
                data = bytes(getattr(self._current, "unused_data", b""))
                self._current = None
        return pieces

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
