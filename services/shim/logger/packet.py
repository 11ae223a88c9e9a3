"""What passes between the shim and the process that feeds a sink: blocks of lines one way, a word about them back.

Pure. A packet is a message of the socket between them, so that it is taken whole or not at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from services.shim.logger.lines import Block
from services.shim.logger.pieces import Piece

_HEADER: Final = Struct("<BQII64s")
_STDERR: Final = 1
_PIECE: Final = 2
_LAST: Final = 4
LIMIT: Final = 128 * 1024
"""More than what a read of a container's output and a line before it can give."""

READY: Final = b"+"
"""The sink takes lines."""
FAILED: Final = b"!"
"""It could not be reached at the start; the reason follows."""
LOST: Final = b"-"
"""The number of records it did not take, a space, and the reason."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the log, without its newline; `time` in nanoseconds since the epoch."""

    stream: str
    time: int
    line: bytes
    piece: Piece | None = None


def pack(stream: str, block: Block, piece: Piece | None) -> bytes:
    flags = _STDERR if stream == "stderr" else 0
    identity, ordinal = b"", 0
    if piece is not None:
        flags |= _PIECE | (_LAST if piece.last else 0)
        identity, ordinal = piece.id.encode(), piece.ordinal
    text = block.data if block.partial else block.data[:-1]
    return _HEADER.pack(flags, block.since, len(text), ordinal, identity) + text


def records(data: bytes) -> int:
    """How many records what `pack` gave is."""
    return 1 if data[0] & _PIECE else data.count(b"\n", _HEADER.size) + 1


def shorten(data: bytes, room: int) -> bytes:
    """As many of its first lines as fit into `room` bytes; b"" where none does."""
    flags, since, length, ordinal, identity = _HEADER.unpack_from(data)
    if length <= room:
        return data
    end = -1 if flags & _PIECE else data.rfind(b"\n", _HEADER.size, _HEADER.size + max(0, room) + 1)
    if end < 0:
        return b""
    return _HEADER.pack(flags, since, end - _HEADER.size, ordinal, identity) + data[_HEADER.size : end]


def size(data: bytes) -> int:
    """What it counts in a buffer."""
    return len(data) - _HEADER.size


def unpack(packet: bytes) -> Iterator[Entry]:
    position = 0
    while position < len(packet):
        flags, since, length, ordinal, identity = _HEADER.unpack_from(packet, position)
        position += _HEADER.size
        text = packet[position : position + length]
        position += length
        stream = "stderr" if flags & _STDERR else "stdout"
        if flags & _PIECE:
            yield Entry(stream, since, text, Piece(identity.decode(), ordinal, bool(flags & _LAST)))
        else:
            yield from (Entry(stream, since, line) for line in text.split(b"\n"))
