"""The encoder against a rune-by-rune model of Go's."""

import json

from hypothesis import given
from hypothesis import strategies as st

from services.shim.logger.jsonline import Encoder, decode, escape


def rune_at(data: bytes, position: int) -> bytes:
    """The valid rune there, or one byte that is none."""
    for size in (1, 2, 3, 4):
        try:
            if len(data[position : position + size].decode()) == 1:
                return data[position : position + size]
        except UnicodeDecodeError:
            continue
    return data[position : position + 1]


def model(data: bytes) -> bytes:
    out, position = b"", 0
    while position < len(data):
        rune = rune_at(data, position)
        position += len(rune)
        if rune in (b'"', b"\\"):
            out += b"\\" + rune
        elif rune == b"\n":
            out += rune  # the caller's
        elif rune == b"\r":
            out += b"\\r"
        elif rune < b"\x20" or rune in (b"<", b">", b"&"):
            out += b"\\u00%02x" % rune[0]
        elif len(rune) == 1 and rune >= b"\x80":
            out += b"\\ufffd"
        elif rune in ("\u2028".encode(), "\u2029".encode()):
            out += b"\\u%04x" % ord(rune.decode())
        else:
            out += rune
    return out


tricky = st.sampled_from([
    b"\xe2\x82", b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xef\xbf\xbd",
    b"\x1b[0m", b"\t\r\n", b'\\u0022"', b"<&>", b"\x7f", b"\xf0\x9f\x98\x80", b"\x00\x1f", b"\\",
])


@given(st.lists(st.one_of(tricky, st.binary(max_size=6), st.text(max_size=6).map(str.encode))).map(b"".join))
def test_escapes_as_go_does(data: bytes) -> None:
    assert escape(data) == model(data)


def test_lines_share_their_stamp() -> None:
    encoded = Encoder({}).lines(b"a\nb\n", "stdout", 1_500_000_000_123_000_000)
    assert encoded == (
        b'{"log":"a\\n","stream":"stdout","time":"2017-07-14T02:40:00.123Z"}\n'
        b'{"log":"b\\n","stream":"stdout","time":"2017-07-14T02:40:00.123Z"}\n'
    )


def test_piece_has_no_newline() -> None:
    assert Encoder({}).piece(b"a<", "stderr", 0) == (
        b'{"log":"a\\u003c","stream":"stderr","time":"1970-01-01T00:00:00Z"}\n'
    )


def test_attributes_come_sorted_before_the_time() -> None:
    encoded = Encoder({"tag": "x", "env": 'a"<'}).lines(b"\n", "stdout", 1)
    assert encoded == (
        b'{"log":"\\n","stream":"stdout","attrs":{"env":"a\\"\\u003c","tag":"x"},"time":"1970-01-01T00:00:00.000000001Z"}\n'
    )


def test_stamps_are_trimmed() -> None:
    stamp = Encoder({}).stamp
    assert stamp(10**9) == b"1970-01-01T00:00:01Z"
    assert stamp(10**9 + 120_000_000) == b"1970-01-01T00:00:01.12Z"
    assert stamp(2 * 10**9 + 1) == b"1970-01-01T00:00:02.000000001Z"


@given(st.text().filter(lambda text: "\n" not in text))
def test_lines_are_json(text: str) -> None:
    line = Encoder({}).lines(text.encode("utf-8", "replace") + b"\n", "stdout", 1)
    assert json.loads(line)["log"] == text.encode("utf-8", "replace").decode() + "\n"


def test_decodes_what_it_encoded() -> None:
    assert decode(Encoder({}).lines(b"a\tb\n", "stderr", 1)) == ("stderr", b"a\tb\n")


def test_torn_line_is_none() -> None:
    assert decode(b'{"log":"a\\n","str') is None
    assert decode(b"7") is None
