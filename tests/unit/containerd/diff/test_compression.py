import bz2
import gzip
import io
import lzma
import os

import pytest
import zstandard

from services.containerd.diff.compression import CHUNK, compressor, inflate, sniff

PLAIN = b"layer " * 300_000 + os.urandom(300_000)
PACK = {
    "": lambda data: data,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}


def unpack(data: bytes) -> bytes:
    stream = io.BytesIO(data)
    head = stream.read(1000)
    chunks = list(inflate(sniff(head), head, stream.read))
    assert all(len(chunk) <= CHUNK for chunk in chunks)
    return b"".join(chunks)


@pytest.mark.parametrize("kind", PACK)
def test_every_compression_is_told_by_its_head(kind: str) -> None:
    packed = PACK[kind](PLAIN)
    assert sniff(packed) == kind
    assert unpack(packed) == PLAIN


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zstd"])
def test_members_in_a_row_are_one_stream(kind: str) -> None:
    assert unpack(PACK[kind](PLAIN[:5000]) + PACK[kind](PLAIN[5000:])) == PLAIN


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz"])
def test_cut_off_stream_fails(kind: str) -> None:
    with pytest.raises(Exception, match=r".+"):
        unpack(PACK[kind](PLAIN)[:-50_000])


def test_damaged_stream_fails() -> None:
    packed = bytearray(gzip.compress(PLAIN))
    packed[len(packed) // 2 : len(packed) // 2 + 64] = bytes(64)
    with pytest.raises(Exception, match=r".+"):
        unpack(bytes(packed))


def test_zeros_after_gzip_are_padding() -> None:
    assert unpack(gzip.compress(PLAIN) + bytes(512)) == PLAIN


def test_empty_stream_is_empty() -> None:
    assert unpack(b"") == b""


@pytest.mark.parametrize("kind", ["", "gzip", "zstd"])
def test_what_is_compressed_inflates(kind: str) -> None:
    made = compressor(kind)
    assert unpack(made.compress(PLAIN) + made.flush()) == PLAIN
