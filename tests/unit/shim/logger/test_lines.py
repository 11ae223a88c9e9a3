"""The cutter against a plain model of Docker's: a buffer of 16 KiB that is logged when it is full."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.shim.logger.lines import LIMIT, Block, Lines


def records(blocks: list[Block]) -> list[tuple[bytes, bool]]:
    """Single records, a line with its newline."""
    made: list[tuple[bytes, bool]] = []
    for block in blocks:
        if block.partial:
            made.append((block.data, True))
        else:
            assert block.data.endswith(b"\n")
            made += [(line + b"\n", False) for line in block.data[:-1].split(b"\n")]
    return made


def model(data: bytes) -> list[tuple[bytes, bool]]:
    made: list[tuple[bytes, bool]] = []
    buffer = b""
    for byte in (data[i : i + 1] for i in range(len(data))):
        if byte == b"\n" and len(buffer) < LIMIT:
            made.append((buffer + byte, False))
            buffer = b""
            continue
        buffer += byte
        if len(buffer) == LIMIT:
            made.append((buffer, True))
            buffer = b""
    return [*made, (buffer, True)] if buffer else made


def cut(chunks: list[bytes]) -> list[tuple[bytes, bool]]:
    lines = Lines()
    blocks = [block for now, chunk in enumerate(chunks, 1) for block in lines.feed(chunk, now)]
    return records(blocks + lines.end(99))


pieces = st.lists(
    st.one_of(st.sampled_from([b"\n", b"a\n", b"x" * (LIMIT - 1), b"y" * LIMIT, b"z" * 5000]), st.binary(max_size=40)),
    max_size=12,
)


@settings(deadline=None)
@given(pieces, st.integers(1, 70_000))
def test_cuts_as_docker_does(parts: list[bytes], size: int) -> None:
    data = b"".join(parts)
    assert cut([data[i : i + size] for i in range(0, len(data), size)]) == model(data)


def test_lines_stay_in_one_block() -> None:
    assert Lines().feed(b"a\nb\nc\n", 5) == [Block(b"a\nb\nc\n", 5)]


def test_unfinished_line_waits() -> None:
    lines = Lines()
    assert lines.feed(b"a\nb", 1) == [Block(b"a\n", 1)]
    assert lines.pending == b"b"
    assert lines.feed(b"c\n", 2) == [Block(b"bc\n", 2)]


def test_pieces_keep_their_first_time() -> None:
    lines = Lines()
    assert lines.feed(b"x" * (LIMIT + 3), 7) == [Block(b"x" * LIMIT, 7, partial=True)]
    assert lines.feed(b"\nnext\n", 8) == [Block(b"xxx\n", 7), Block(b"next\n", 8)]


def test_line_of_the_limit_ends_alone() -> None:
    assert records(Lines().feed(b"x" * LIMIT + b"\n", 1)) == [(b"x" * LIMIT, True), (b"\n", False)]


def test_end_makes_a_piece() -> None:
    lines = Lines()
    lines.feed(b"tail", 1)
    assert lines.end(2) == [Block(b"tail", 2, partial=True)]
    assert lines.end(3) == []
