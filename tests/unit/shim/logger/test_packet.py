import pytest

from services.shim.logger import packet
from services.shim.logger.lines import Block
from services.shim.logger.packet import Entry
from services.shim.logger.pieces import Piece

LINES = Block(b"one\ntwo\n\n", 7)


def test_lines_come_out_as_they_went_in() -> None:
    piece = Piece("a" * 64, 3, False)
    data = packet.pack("stderr", LINES, None) + packet.pack("stdout", Block(b"x\ny", 8, partial=True), piece)
    assert list(packet.unpack(data)) == [
        Entry("stderr", 7, b"one"), Entry("stderr", 7, b"two"), Entry("stderr", 7, b""),
        Entry("stdout", 8, b"x\ny", piece),
    ]


def test_the_end_of_a_line_in_pieces_has_no_newline() -> None:
    last = Piece("b" * 64, 2, True)
    assert list(packet.unpack(packet.pack("stdout", Block(b"end\n", 1), last))) == [Entry("stdout", 1, b"end", last)]


@pytest.mark.parametrize(
    ("room", "kept"), [(0, []), (2, []), (3, [b"one"]), (7, [b"one", b"two"]), (8, [b"one", b"two", b""])]
)
def test_as_many_lines_stay_as_fit(room: int, kept: list[bytes]) -> None:
    data = packet.pack("stdout", LINES, None)
    short = packet.shorten(data, room)
    lines = [each.line for each in packet.unpack(short)]
    assert lines == kept
    assert packet.records(data) == 3 and (packet.records(short) if short else 0) == len(lines)


def test_a_piece_is_never_cut() -> None:
    data = packet.pack("stdout", Block(b"x\ny", 8, partial=True), Piece("a" * 64, 1, False))
    assert packet.records(data) == 1 and packet.size(data) == 3
    assert packet.shorten(data, 2) == b"" and packet.shorten(data, 3) == data
