"""Docker's `local` log files, written: LogEntry messages, each between its length and its length again."""

from collections.abc import Mapping
from struct import Struct
from typing import Final

from protos.logdriver.entry_pb2 import LogAttr, LogEntry, PartialLogEntryMetadata
from services.shim.logger.driver import Record
from services.shim.logger.lines import Block
from services.shim.logger.pieces import Pieces

_LENGTH: Final = Struct(">I")
_AROUND: Final = 8
"""What two lengths take."""
MAX_RECORD: Final = 1_000_000
"""Docker takes no longer one for true."""


class Layout:
    def __init__(self, attributes: Mapping[str, str]) -> None:
        self._attributes = [LogAttr(key=key, value=value) for key, value in sorted(attributes.items())]
        self._pieces = {"stdout": Pieces(), "stderr": Pieces()}

    def encode(self, stream: str, blocks: list[Block]) -> bytes:
        parts: list[bytes] = []
        for block in blocks:
            entry = LogEntry(source=stream, time_nano=block.since, attrs=self._attributes)
            piece = self._pieces[stream].next(block)
            if piece is not None:
                entry.partial = True
                entry.partial_log_metadata.CopyFrom(
                    PartialLogEntryMetadata(last=piece.last, id=piece.id, ordinal=piece.ordinal)
                )
            text = block.data if block.partial else block.data[:-1]
            for line in (text,) if piece is not None else text.split(b"\n"):
                entry.line = line
                record = entry.SerializeToString()
                length = _LENGTH.pack(len(record))
                parts += (length, record, length)
        return b"".join(parts)

    def end(self, data: bytes, start: int, room: int) -> int:
        position = start
        while position < len(data):
            position += _LENGTH.unpack_from(data, position)[0] + _AROUND
            if position - start >= room:
                break
        return position

    def count(self, data: bytes) -> int:
        position = count = 0
        while position < len(data):
            position += _LENGTH.unpack_from(data, position)[0] + _AROUND
            count += 1
        return count

    def whole(self, data: bytes, done: int) -> int:
        position = 0
        while position + _AROUND <= done:
            following = position + _LENGTH.unpack_from(data, position)[0] + _AROUND
            if following > done:
                break
            position = following
        return position

    def decode(self, data: bytes) -> tuple[list[Record], bytes]:
        records: list[Record] = []
        position = 0
        while position + _AROUND <= len(data):
            length = _LENGTH.unpack_from(data, position)[0]
            if length > MAX_RECORD:
                return records, b""  # no log of this kind
            if position + length + _AROUND > len(data):
                break
            entry = LogEntry.FromString(data[position + 4 : position + 4 + length])
            unfinished = entry.partial and not entry.partial_log_metadata.last
            records.append((entry.source, entry.line if unfinished else entry.line + b"\n"))
            position += length + _AROUND
        return records, data[position:]
