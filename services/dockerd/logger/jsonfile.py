"""How a json-file log looks: one JSON object a line."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from services.dockerd.container import stamp
from services.dockerd.logger import files
from services.dockerd.logger import query as queries
from services.dockerd.logger.query import Query

_BLOCK: Final = 64 << 10


def read(path: Path, query: Query, ended: "asyncio.Future[Any] | None") -> AsyncIterator[bytes]:
    return files.read(path, Layout(), query, ended)


class Layout:
    def cut(self, data: bytes) -> tuple[list[bytes], bytes]:
        *lines, rest = data.split(b"\n")
        return lines, rest

    def last(self, file: BinaryIO, wanted: int) -> tuple[int, int]:
        return last_lines(file, wanted)

    def render(self, records: Sequence[bytes], query: Query) -> bytes:
        return queries.render(records, query)

    def time(self, record: bytes) -> int:
        try:
            return stamp.parse(orjson.loads(record)["time"])
        except (ValueError, KeyError, TypeError):
            return 0


def last_lines(file: BinaryIO, wanted: int) -> tuple[int, int]:
    """Where the last `wanted` lines begin, and how many there are (all of the file's if it has fewer)."""
    end = file.seek(0, os.SEEK_END)
    if wanted == 0:
        return end, 0
    place, found = end, 0
    while place > 0:
        start = max(0, place - _BLOCK)
        file.seek(start)
        block = file.read(place - start)
        if place == end and block.endswith(b"\n"):
            block = block[:-1]
        for offset in _newlines_backwards(block):
            found += 1
            if found == wanted:
                return start + offset + 1, found
        place = start
    return 0, found + (end > 0)


def _newlines_backwards(block: bytes) -> Iterator[int]:
    offset = block.rfind(b"\n")
    while offset >= 0:
        yield offset
        offset = block.rfind(b"\n", 0, offset)
