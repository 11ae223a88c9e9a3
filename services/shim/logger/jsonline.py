"""The lines of Docker's json-file, byte for byte as Go's encoder writes them. Pure.

Escaped are quotes, backslashes, control characters, `<`, `>`, `&` and the two line separators of Unicode; a byte that
is not UTF-8 becomes \\ufffd. Whole blocks of lines are encoded by a few searches over all of them, not line by line.
"""

import json
import re
import time
from collections.abc import Mapping
from typing import Final

_SPECIAL: Final = bytes(each for each in range(0x80) if (each < 0x20 and each != 0x0A) or each in b'"\\<>&')
_COMMON: Final = (
    (b"\\", b"\\\\"), (b'"', b'\\"'), (b"\r", b"\\r"), (b"\t", b"\\u0009"), (b"\x1b", b"\\u001b"),
    (b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"),
)
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b-\x1f]")
_CONTROLS: Final = bytes(each for each in range(0x20) if each not in b"\t\n\r\x1b")
_UNDECODABLE: Final = re.compile("[\udc80-\udcff]")


def escape(block: bytes) -> bytes:
    """The inside of a JSON string; newlines are left to the caller."""
    if len(block.translate(None, _SPECIAL)) != len(block):
        for raw, escaped in _COMMON:
            if raw in block:
                block = block.replace(raw, escaped)
        if len(block.translate(None, _CONTROLS)) != len(block):
            block = _CONTROL.sub(lambda match: b"\\u00%02x" % match[0][0], block)
    return block if block.isascii() else _escape_unicode(block)


def _escape_unicode(block: bytes) -> bytes:
    try:
        block.decode()
    except UnicodeDecodeError:
        block = _UNDECODABLE.sub(r"\\ufffd", block.decode("utf-8", "surrogateescape")).encode()
    if b"\xe2\x80\xa8" in block or b"\xe2\x80\xa9" in block:
        block = block.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return block


class Encoder:
    """Encodes for one container; `attributes` come with every line."""

    def __init__(self, attributes: Mapping[str, str]) -> None:
        self._between: dict[str, bytes] = {}
        packed = b'"attrs":%s,' % _attributes(attributes) if attributes else b""
        for stream in ("stdout", "stderr"):
            self._between[stream] = b'","stream":"%s",%s"time":"' % (stream.encode(), packed)
        self._second = -1
        self._prefix = b""

    def lines(self, block: bytes, stream: str, now: int) -> bytes:
        """A block of whole lines, each with its newline."""
        end = b"\\n" + self._end(stream, now)
        return b'{"log":"' + escape(block)[:-1].replace(b"\n", end + b'{"log":"') + end

    def piece(self, data: bytes, stream: str, now: int) -> bytes:
        """A piece of a line, without newline."""
        return b'{"log":"' + escape(data) + self._end(stream, now)

    def _end(self, stream: str, now: int) -> bytes:
        return self._between[stream] + self.stamp(now) + b'"}\n'

    def stamp(self, now: int) -> bytes:
        """As `stamp` gives it; the second's part is kept."""
        second, rest = divmod(now, 10**9)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        return self._prefix + ((b".%09d" % rest).rstrip(b"0") if rest else b"") + b"Z"


def stamp(now: int) -> bytes:
    """RFC 3339 in UTC, with as many digits of the second as there are before its zeros."""
    return Encoder({}).stamp(now)


def _attributes(attributes: Mapping[str, str]) -> bytes:
    pairs = (b'"%s":"%s"' % (_string(key), _string(value)) for key, value in sorted(attributes.items()))
    return b"{" + b",".join(pairs) + b"}"


def _string(text: str) -> bytes:
    return escape(text.encode("utf-8", "surrogateescape")).replace(b"\n", b"\\n")


def decode(line: bytes) -> tuple[str, bytes] | None:
    """Stream and text of a line; None for one that is torn or not ours."""
    try:
        record = json.loads(line)
        return str(record.get("stream", "stdout")), str(record.get("log", "")).encode("utf-8", "replace")
    except (ValueError, AttributeError):
        return None
