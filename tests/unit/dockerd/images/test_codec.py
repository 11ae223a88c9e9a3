import asyncio
import bz2
import gzip
import lzma
import random
from collections.abc import AsyncIterator, Callable

import pytest
import zstandard

from protos.errdefs import InvalidArgument, ResourceExhausted
from services.dockerd.images import codec

TEXT = b"layer bytes " * 5000


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def inflate(data: bytes, size: int = 1000) -> bytes:
    async def collect() -> bytes:
        return b"".join([piece async for piece in codec.plain(pieces(data, size))])

    return asyncio.run(collect())


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(TEXT), bz2.compress(TEXT), lzma.compress(TEXT), zstandard.compress(TEXT), TEXT],
    ids=["gzip", "bzip2", "xz", "zstd", "plain"],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_streams_are_recognised_and_inflated(packed: bytes, size: int) -> None:
    assert inflate(packed, size) == TEXT


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_a_piece_that_gives_nothing_yet_does_not_end_the_stream(pack: Callable[[bytes], bytes]) -> None:
    text = random.Random(1).randbytes(300_000)

    async def run() -> bytes:
        reader = codec.Reader(codec.plain(pieces(pack(text), 1000)))
        return await reader.exactly(len(text) + 1)

    assert asyncio.run(run()) == text


def test_members_in_a_row_are_joined() -> None:
    assert inflate(gzip.compress(b"a" * 100) + gzip.compress(b"b" * 100)) == b"a" * 100 + b"b" * 100


def test_padding_after_the_end_is_ignored() -> None:
    assert inflate(gzip.compress(TEXT) + bytes(512)) == TEXT


@pytest.mark.parametrize(
    "packed", [gzip.compress(TEXT)[:-10], lzma.compress(TEXT)[:-10], gzip.compress(TEXT)[:30] + b"junk" * 9]
)
def test_a_broken_stream_says_so(packed: bytes) -> None:
    with pytest.raises(InvalidArgument, match="archive is not readable"):
        inflate(packed)


@pytest.mark.parametrize("pack", [zstandard.compress, bz2.compress, lzma.compress])
def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]) -> None:
    monkeypatch.setattr(codec, "FREE_SIZE", 1 << 20)
    with pytest.raises(ResourceExhausted, match="refused as a bomb"):
        inflate(pack(bytes(16 << 20)))


def test_gzip_of_zeros_is_no_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "FREE_SIZE", 1 << 20)
    assert len(inflate(gzip.compress(bytes(16 << 20)))) == 16 << 20


def test_an_empty_stream_is_empty() -> None:
    assert inflate(b"") == b""


def test_reads_are_exact_across_chunks() -> None:
    async def run() -> tuple[bytes, bytes, bytes]:
        reader = codec.Reader(pieces(b"abcdefgh", 3))
        return await reader.exactly(5), await reader.exactly(2), await reader.exactly(9)

    assert asyncio.run(run()) == (b"abcde", b"fg", b"h")


def test_a_short_stream_is_an_error_in_the_middle_of_data() -> None:
    async def run() -> None:
        async for _ in codec.Reader(pieces(b"abc", 2)).pieces(9, 4):
            pass

    with pytest.raises(InvalidArgument, match="unexpected end of file"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("pack", "size", "bound"),
    [(gzip.compress, 8, 1), (bz2.compress, 8, 1), (lzma.compress, 8, 1), (zstandard.compress, 200, 70)],
)
def test_a_bomb_comes_in_small_pieces(pack: Callable[[bytes], bytes], size: int, bound: int) -> None:
    size <<= 20
    packed = pack(bytes(size))
    found = codec.inflater(packed)
    assert found
    largest = total = 0
    for piece in found.feed(packed):
        largest, total = max(largest, len(piece)), total + len(piece)
    assert total == size
    assert largest <= bound << 20
