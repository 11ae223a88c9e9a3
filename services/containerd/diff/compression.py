"""Compressed layers as plain chunks, told apart by their first bytes; and gzip or zstd on the way out.

Inflating is bounded chunk by chunk, so that no archive makes us hold more than a few megabytes. A zstd stream that was
cut off ends without an error here: the layer's digest tells.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from protos import errdefs

CHUNK: Final = 512 << 10
_MAGIC: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}

Read = Callable[[int], bytes]


class Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def sniff(head: bytes) -> str:
    """`gzip`, `zstd`, `bzip2`, `xz`, or nothing for what is not compressed."""
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    return ""


def inflate(kind: str, head: bytes, read: Read) -> Iterator[bytes]:
    """Plain chunks of a stream whose first bytes, `head`, were read already. Blocks; raises on damaged input."""
    if not kind:
        return _plain(head, read)
    if kind == "zstd":
        return _zstd(head, read)
    return _members(_decompressors()[kind], head, read)


def compressor(kind: str) -> Compressor:
    if kind == "gzip":
        from isal import isal_zlib  # slow to load, and needed by few calls

        made: Compressor = isal_zlib.compressobj(2, wbits=31)
        return made
    if kind == "zstd":
        import zstandard

        return zstandard.ZstdCompressor(level=3).compressobj()
    return _Stored()


class _Stored:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _plain(head: bytes, read: Read) -> Iterator[bytes]:
    while head:
        yield head
        head = read(CHUNK)


def _decompressors() -> dict[str, Callable[[], Any]]:
    import bz2
    import lzma

    from isal import isal_zlib

    return {
        "gzip": lambda: isal_zlib.decompressobj(wbits=31),
        "bzip2": bz2.BZ2Decompressor,
        "xz": lambda: lzma.LZMADecompressor(memlimit=256 << 20),
    }


def _members(make: Callable[[], Any], head: bytes, read: Read) -> Iterator[bytes]:
    """Chunks of one or more members in a row, as gzip, bzip2 and xz allow."""
    data = head
    while data:
        member = make()
        unconsumed = hasattr(member, "unconsumed_tail")
        while not member.eof:
            if not data and (unconsumed or member.needs_input):
                data = read(CHUNK)
                if not data:
                    raise errdefs.InvalidArgument("compressed layer ends too early")
            plain = member.decompress(data, CHUNK)
            data = member.unconsumed_tail if unconsumed else b""
            if plain:
                yield plain
        data = member.unused_data or read(CHUNK)
        if not data.strip(b"\0"):
            return


def _zstd(head: bytes, read: Read) -> Iterator[bytes]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=128 << 20)
    source: Any = _Source(head, read)
    with decompressor.stream_reader(source, read_size=CHUNK, read_across_frames=True) as reader:
        while plain := reader.read(CHUNK):
            yield plain


class _Source:
    """What zstandard reads from: the head first."""

    def __init__(self, head: bytes, read: Read) -> None:
        self._head = head
        self._read = read

    def read(self, size: int = -1) -> bytes:
        head, self._head = self._head, b""
        return head or self._read(size)
