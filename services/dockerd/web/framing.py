"""Where the body of a request ends: counted by Content-Length, or chunked. Pure: bytes in, pieces out.

Ours and not httptools', which has no way to say at which byte a message ended; what follows it is stdin or a request.
"""

from typing import Final, Protocol

from protos.errdefs import InvalidArgument

MAX_LINE: Final = 4096
"""Bytes of a chunk's size line with its extensions, or of a trailer."""


class Body(Protocol):
    done: bool

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Pieces of the body in `data`, and what lies behind the body's end."""


class Counted:
    """`left` bytes; none at all for a request without a body."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.done = left == 0

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        if len(data) <= self.left:
            piece, rest = data, b""
        else:
            piece, rest = data[: self.left], data[self.left :]
        self.left -= len(piece)
        self.done = self.left == 0
        return [piece] if piece else [], rest


class Chunked:
    """RFC 9112 section 7.1; trailers are read and dropped. InvalidArgument where the framing is broken."""

    def __init__(self) -> None:
        self.done = False
        self._left = 0
        """Bytes of the present chunk."""
        self._ending = False
        """The CRLF behind a chunk is due."""
        self._trailers = False
        self._line = b""

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        pieces: list[bytes] = []
        at = 0
        while at < len(data) and not self.done:
            if self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                at += len(piece)
                pieces.append(piece)
                self._ending = self._left == 0
            else:
                at = self._read_line(data, at)
        return pieces, data[at:] if self.done else b""

    def _read_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at)
        if end < 0:
            self._line += data[at:]
            if len(self._line) > MAX_LINE:
                raise InvalidArgument("invalid chunked encoding: line too long")
            return len(data)
        line, self._line = self._line + data[at : end + 1], b""
        if len(line) > MAX_LINE or not line.endswith(b"\r\n"):
            raise InvalidArgument("invalid chunked encoding: malformed line")
        self._take(line[:-2])
        return end + 1

    def _take(self, line: bytes) -> None:
        if self._ending:
            if line:
                raise InvalidArgument("invalid chunked encoding: a chunk is longer than its size")
            self._ending = False
        elif self._trailers:
            self.done = not line
        else:
            self._left = _size(line.partition(b";")[0].rstrip(b" \t"))
            self._trailers = self._left == 0


def _size(digits: bytes) -> int:
    if not digits or len(digits) > 16 or not all(digit in b"0123456789abcdefABCDEF" for digit in digits):
        raise InvalidArgument("invalid chunked encoding: invalid size")
    return int(digits, 16)
