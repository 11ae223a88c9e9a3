"""Reading a json-file log: from its start or its last lines, through rotated and compressed files, and as it grows.

The files are opened at once, so that a rotation meanwhile takes nothing away. A follower that reaches the end of a
file which has been rotated goes on with the next; where the next cannot be told by its inode (it was compressed), it
goes by the time of the last line sent.
"""

import asyncio
import gzip
import io
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import orjson

from services.dockerd.container import stamp
from services.dockerd.logger import query as queries
from services.dockerd.logger.inotify import Watch
from services.dockerd.logger.query import Query

_CHUNK: Final = 256 << 10
_BLOCK: Final = 64 << 10


def paths(path: Path) -> list[Path]:
    """All files of the log that exist, oldest first; the file being written last."""
    rotated: dict[int, Path] = {}
    for each in path.parent.glob(path.name + ".*"):
        if match := re.fullmatch(r"\.(\d+)(\.gz)?", each.name.removeprefix(path.name)):
            rotated.setdefault(int(match[1]), each)
    return [rotated[number] for number in sorted(rotated, reverse=True)] + ([path] if path.exists() else [])


@dataclass(slots=True)
class Source:
    """One open file of a log and how far it is read; `rest` is the beginning of an unfinished line."""

    file: BinaryIO
    inode: int
    rest: bytes = b""

    def lines(self) -> Iterator[list[bytes]]:
        """Whole lines up to the present end, chunk by chunk."""
        while chunk := self.file.read(_CHUNK):
            *lines, self.rest = (self.rest + chunk).split(b"\n")
            yield lines


def _open(path: Path) -> Source | None:
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        return None
    inode = os.fstat(file.fileno()).st_ino
    if path.suffix != ".gz":
        return Source(cast(BinaryIO, file), inode)
    with file:
        return Source(io.BytesIO(gzip.decompress(file.read())), inode)


async def _open_all(path: Path) -> list[Source]:
    opened = await asyncio.to_thread(lambda: [_open(each) for each in paths(path)])
    return [each for each in opened if each]


def _skip_to_tail(sources: list[Source], wanted: int) -> list[Source]:
    """Place the sources so that `wanted` lines are left to read; sources wholly before them are dropped."""
    for index in range(len(sources) - 1, -1, -1):
        place, found = last_lines(sources[index].file, wanted)
        sources[index].file.seek(place)
        if found == wanted:
            return sources[index:]
        wanted -= found
    return sources


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


async def read(path: Path, query: Query, ended: "asyncio.Future[Any] | None") -> AsyncIterator[bytes]:
    """The log as `query` wants it. It is followed until `ended` is done; None reads what is there."""
    watch = Watch(path.parent) if ended is not None else None
    sources = await _open_all(path)
    try:
        if query.tail >= 0:
            sources = _skip_to_tail(sources, query.tail)
        last = b""
        for source in sources:
            for lines in source.lines():
                last = lines[-1] if lines else last
                yield queries.render(lines, query)
                await asyncio.sleep(0)
        if watch is not None and ended is not None:
            follower = _Follower(path, query, sources[-1] if sources else None, last)
            async for chunk in follower.run(watch, ended):
                yield chunk
    except queries.Past as past:
        yield past.output
    finally:
        if watch:
            watch.close()
        for source in sources:
            source.file.close()


class _Follower:
    """Reads on as the log grows and is rotated."""

    def __init__(self, path: Path, query: Query, source: Source | None, last: bytes) -> None:
        self._path = path
        self._query = query
        self._source = source
        self._last = last

    async def run(self, watch: Watch, ended: "asyncio.Future[Any]") -> AsyncIterator[bytes]:
        ended.add_done_callback(lambda _: watch.poke())
        while True:
            over = ended.done()
            async for chunk in self._rest():
                yield chunk
            if over:
                return
            await watch.changed()

    async def _rest(self) -> AsyncIterator[bytes]:
        """All that is there beyond what was read."""
        while True:
            rotated = self._rotated()  # asked first: what was written before the rotation is then all there
            if self._source:
                for lines in self._source.lines():
                    self._last = lines[-1] if lines else self._last
                    yield queries.render(lines, self._query)
                    await asyncio.sleep(0)
            if not rotated:
                return
            async for chunk in self._advance():
                yield chunk

    def _rotated(self) -> bool:
        try:
            current = self._path.stat().st_ino
        except FileNotFoundError:
            return False  # between the two renames of a rotation
        return self._source is None or current != self._source.inode

    async def _advance(self) -> AsyncIterator[bytes]:
        """Go on behind the file that was just finished; files in between are sent whole."""
        sources = await _open_all(self._path)
        if not sources:
            return
        inodes = [each.inode for each in sources]
        query = self._query
        if self._source and self._source.inode in inodes:
            sources = sources[inodes.index(self._source.inode) + 1:]
        elif self._source:
            query = replace(query, since=max(query.since, _time(self._last) + 1))
        if self._source:
            self._source.file.close()
        for source in sources[:-1]:
            for lines in source.lines():
                yield queries.render(lines, query)
            source.file.close()
        self._source = sources[-1] if sources else self._source
        if query is not self._query and self._source:
            for lines in self._source.lines():
                self._last = lines[-1] if lines else self._last
                yield queries.render(lines, query)


def _time(line: bytes) -> int:
    try:
        return stamp.parse(orjson.loads(line)["time"])
    except (ValueError, KeyError, TypeError):
        return 0
