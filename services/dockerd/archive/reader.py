"""A tar stream, compressed or not, as entries: pax and GNU long names resolved, all decompression in this process."""

import itertools
import os
from collections.abc import Iterator
from typing import Final

from protos import errdefs, tar
from services.dockerd.archive.content import CHUNK, Entry
from services.dockerd.images import codec

_LIMIT: Final = 1 << 62
"""Bytes no file has."""
_BITE: Final = 4096
"""Compressed bytes inflated at a time: what a bomb among them can take of memory is bounded."""


def read(chunks: Iterator[bytes]) -> Iterator[Entry]:
    """The entries; InvalidArgument where the stream is no archive or breaks off."""
    stream = _Stream(_plain(chunks))
    try:
        yield from _entries(stream)
    except tar.TarError as error:
        raise errdefs.InvalidArgument(f"archive is not readable: {error}") from error


def _entries(stream: "_Stream") -> Iterator[Entry]:
    records: dict[str, bytes] = {}
    long_name = long_link = b""
    while block := stream.take(tar.BLOCK):
        header = tar.parse(block)
        if header is None:
            return
        if header.is_extension:
            if header.size > tar.LONGEST_EXTENSION:
                raise tar.TarError(f"an extended header of {header.size} bytes")
            data = stream.exactly(header.size)
            stream.skip(header.padding)
            if header.type == tar.PAX:
                records = tar.pax_records(data)
            elif header.type == tar.GNU_LONG_NAME:
                long_name = data.split(b"\0", 1)[0]
            elif header.type == tar.GNU_LONG_LINK:
                long_link = data.split(b"\0", 1)[0]
            continue
        header = tar.extended(header, {
            **({"path": long_name} if long_name else {}), **({"linkpath": long_link} if long_link else {}), **records,
        })
        records, long_name, long_link = {}, b"", b""
        yield from _entry(stream, header)


def _entry(stream: "_Stream", header: tar.Header) -> Iterator[Entry]:
    if header.size > _LIMIT:
        raise tar.TarError(f"a size of {header.size} bytes")
    if header.type == tar.GNU_SPARSE or any(key.startswith("GNU.sparse.") for key in header.pax):
        raise errdefs.InvalidArgument("archive is not readable: sparse files are not supported")
    if header.type != tar.REGULAR:
        size = header.size if header.type in (tar.HARD_LINK, tar.DIRECTORY) else 0
        yield Entry(header)
        stream.skip(size + (-size % tar.BLOCK))
        return
    content = _TarContent(stream, header.size)
    yield Entry(header, content)
    stream.skip(content.left + header.padding)


class _TarContent:
    """The bytes of the entry at hand."""

    def __init__(self, stream: "_Stream", size: int) -> None:
        self._stream = stream
        self.left = size

    def chunks(self) -> Iterator[bytes]:
        while self.left:
            piece = self._stream.some(min(self.left, CHUNK))
            self.left -= len(piece)
            yield piece

    def copy_to(self, fd: int) -> None:
        for piece in self.chunks():
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view) :]


class _Stream:
    """Exact reads over chunks of any size."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = memoryview(b"")

    def some(self, limit: int) -> bytes:
        """Between 1 and `limit` bytes; InvalidArgument at the end."""
        piece = self._some(limit)
        if not piece:
            raise _torn()
        return bytes(piece)

    def _some(self, limit: int) -> memoryview:
        while not self._buffer:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._buffer = memoryview(chunk)
        piece, self._buffer = self._buffer[:limit], self._buffer[limit:]
        return piece

    def take(self, size: int) -> bytes:
        """`size` bytes, or none at the very end."""
        first = bytes(self._some(size))
        return first + self.exactly(size - len(first)) if first and len(first) < size else first

    def exactly(self, size: int) -> bytes:
        parts = []
        while size:
            parts.append(self.some(size))
            size -= len(parts[-1])
        return b"".join(parts)

    def skip(self, size: int) -> None:
        while size:
            piece = self._some(size)
            if not piece:
                raise _torn()
            size -= len(piece)


def _torn() -> errdefs.InvalidArgument:
    return errdefs.InvalidArgument("archive is not readable: unexpected end of file")


def _plain(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The stream decompressed, or as it is where it is not compressed."""
    head = b""
    while len(head) < codec.SNIFF:
        chunk = next(chunks, None)
        if chunk is None:
            break
        head += chunk
    inflate = codec.inflater(head)
    if inflate is None:
        yield head
        yield from chunks
        return
    for chunk in itertools.chain([head], chunks):
        for start in range(0, len(chunk), _BITE):
            yield from inflate.feed(chunk[start : start + _BITE])
    inflate.finish()
