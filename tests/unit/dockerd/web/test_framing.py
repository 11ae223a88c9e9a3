import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.errdefs import InvalidArgument
from services.dockerd.web.framing import Body, Chunked, Counted


def fed(body: Body, stream: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """The body and what is behind it, the stream given in pieces."""
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    whole, rest = b"", b""
    for start, end in itertools.pairwise(edges):
        pieces, left = body.feed(rest + stream[start:end])
        whole += b"".join(pieces)
        rest = left
    return whole, rest


@given(st.binary(max_size=200), st.binary(max_size=20), st.lists(st.integers(0, 500), max_size=8))
def test_counted_body_ends_at_its_length(content: bytes, behind: bytes, cuts: list[int]) -> None:
    body = Counted(len(content))
    assert fed(body, content + behind, cuts) == (content, behind)
    assert body.done


CHUNKS = st.lists(st.binary(min_size=1, max_size=50), max_size=6)


@given(CHUNKS, st.binary(max_size=20), st.lists(st.integers(0, 999), max_size=9))
def test_chunked_body_ends_at_its_last_chunk(chunks: list[bytes], behind: bytes, cuts: list[int]) -> None:
    stream = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nTrailer: x\r\n\r\n"
    body = Chunked()
    assert fed(body, stream + behind, cuts) == (b"".join(chunks), behind)
    assert body.done


def test_empty_body_is_done_at_once() -> None:
    assert Counted(0).done
    assert not Chunked().done


@pytest.mark.parametrize(
    "stream",
    [b"xyz\r\n", b"\r\n", b"3\r\nabcd\r\n", b"3\nabc", b"-1\r\n", b"0x3\r\n", b"f" * 17 + b"\r\n", b"1" * 5000],
)
def test_broken_chunks_are_refused(stream: bytes) -> None:
    with pytest.raises(InvalidArgument, match="invalid chunked encoding"):
        Chunked().feed(stream)
