"""How a log of the `local` driver looks: LogEntry messages, each between its length and its length again."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, Final

from google.protobuf.message import DecodeError

from protos.logdriver.entry_pb2 import LogEntry
from services.dockerd.logger import files
from services.dockerd.logger import query as queries
from services.dockerd.logger.query import Entry, Query

_LENGTH: Final = Struct(">I")
_MOST: Final = 1_000_000
"""Docker takes no longer record for true."""


def read(path: Path, query: Query, ended: "asyncio.Future[Any] | None") -> AsyncIterator[bytes]:
    return files.read(path, Layout(), query, ended)


class Layout:
    def cut(self, data: bytes) -> tuple[list[bytes], bytes]:
        records: list[bytes] = []
        place = 0
        while place + 2 * _LENGTH.size <= len(data):
            (length,) = _LENGTH.unpack_from(data, place)
            if length > _MOST:
                return records, b""  # no log of this kind
            end = place + _LENGTH.size + length
            if end + _LENGTH.size > len(data):
                break
            records.append(data[place + _LENGTH.size : end])
            place = end + _LENGTH.size
        return records, data[place:]

    def last(self, file: BinaryIO, wanted: int) -> tuple[int, int]:
        place = file.seek(0, os.SEEK_END)
        found = 0
        while found < wanted and place >= 2 * _LENGTH.size:
            file.seek(place - _LENGTH.size)
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            before = place - 2 * _LENGTH.size - length
            if before < 0 or length > _MOST:
                break
            place, found = before, found + 1
        return place, found

    def render(self, records: Sequence[bytes], query: Query) -> bytes:
        return queries.show(_entries(records), query)

    def time(self, record: bytes) -> int:
        try:
            return LogEntry.FromString(record).time_nano
        except DecodeError:
            return 0


def _entries(records: Sequence[bytes]) -> Iterator[Entry]:
    for record in records:
        try:
            entry = LogEntry.FromString(record)
        except DecodeError:
            continue
        unfinished = entry.partial and not entry.partial_log_metadata.last
        text = entry.line if unfinished else entry.line + b"\n"
        yield Entry(entry.source == "stderr", entry.time_nano, text, {each.key: each.value for each in entry.attrs})
