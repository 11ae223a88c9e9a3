import json
import struct

import pytest

from services.dockerd.logger import query
from services.dockerd.logger.query import Past, Query


def line(text: str, stream: str = "stdout", second: int = 1, **attrs: str) -> bytes:
    record: dict[str, object] = {"log": text, "stream": stream, "time": f"2024-05-01T10:00:0{second}.5Z"}
    return json.dumps(record | ({"attrs": attrs} if attrs else {})).encode()


def frame(stream: int, text: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(text)) + text


LINES = [line("a\n"), line("b\n", "stderr", 2), line("c\n", second=3)]
BASE = 1714557600 * 1_000_000_000


def test_records_are_framed_by_stream() -> None:
    assert query.render(LINES, Query()) == frame(1, b"a\n") + frame(2, b"b\n") + frame(1, b"c\n")


def test_a_terminals_log_is_bare() -> None:
    assert query.render(LINES, Query(framed=False)) == b"a\nb\nc\n"


def test_one_stream_can_be_chosen() -> None:
    assert query.render(LINES, Query(stdout=False)) == frame(2, b"b\n")
    assert query.render(LINES, Query(stderr=False, framed=False)) == b"a\nc\n"


def test_timestamps_have_nine_digits() -> None:
    assert query.render(LINES[:1], Query(timestamps=True, framed=False)) == b"2024-05-01T10:00:01.500000000Z a\n"


def test_details_come_sorted_and_quoted() -> None:
    rendered = query.render([line("a\n", b="x y", a="1")], Query(details=True, framed=False))
    assert rendered == b"a=1,b=x+y a\n"
    assert query.render([line("a\n")], Query(details=True, framed=False)) == b" a\n"


def test_since_leaves_out_the_older() -> None:
    assert query.render(LINES, Query(since=BASE + 2_000_000_000, framed=False)) == b"b\nc\n"


def test_until_ends_the_reading() -> None:
    with pytest.raises(Past) as past:
        query.render(LINES, Query(until=BASE + 2_600_000_000, framed=False))
    assert past.value.output == b"a\nb\n"


@pytest.mark.parametrize("torn", [b"", b"{", b'{"log"', b"[]", b"3", b'{"log":3}', b'{"stream":"stdout"}', b"\xff\xfe"])
@pytest.mark.parametrize("wanted", [Query(), Query(framed=False), Query(timestamps=True)])
def test_what_is_no_record_is_left_out(torn: bytes, wanted: Query) -> None:
    assert query.render([torn, *LINES, torn], wanted) == query.render(LINES, wanted)


def test_a_partial_line_keeps_its_missing_end() -> None:
    assert query.render([line("long")], Query()) == frame(1, b"long")
