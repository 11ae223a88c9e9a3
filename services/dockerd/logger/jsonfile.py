"""Reading a json-file log: from its start or its last lines, through rotated and compressed files, and as it grows.

The files are opened at once, so that a rotation meanwhile takes nothing away. A follower that reaches the end of a
file which has been rotated goes on with the next; where the next cannot be told by its inode (it was compressed), it
goes by the time of the last line sent.
"""

import asyncio
import contextlib
import gzip
import io
import os
import re
from collections.abc import AsyncIterator, Iterable, Iterator
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


@dataclass(slots=True, eq=False)
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


class Files:
    """The open files of a log; all are closed at the end of the block, each at the latest then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: list[Source] = []

    async def open(self) -> list[Source]:
        """All that exist now, oldest first."""
        opened = await asyncio.to_thread(lambda: [_open(each) for each in paths(self.path)])
        sources = [each for each in opened if each]
        self._open += sources
        return sources

    def close(self, sources: Iterable[Source]) -> None:
        for source in sources:
            source.file.close()
            self._open.remove(source)

    def __enter__(self) -> "Files":
        return self

    def __exit__(self, *error: object) -> None:
        self.close(list(self._open))


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


def _final(sources: list[Source]) -> bytes:
    """The last line there is, without moving the place in its file."""
    for source in reversed(sources):
        before = source.file.tell()
        place, found = last_lines(source.file, 1)
        source.file.seek(place)
        line = source.file.read() if found else b""
        source.file.seek(before)
        if line:
            return line.rstrip(b"\n")
    return b""


def _newlines_backwards(block: bytes) -> Iterator[int]:
    offset = block.rfind(b"\n")
    while offset >= 0:
        yield offset
        offset = block.rfind(b"\n", 0, offset)


async def read(path: Path, query: Query, ended: "asyncio.Future[Any] | None") -> AsyncIterator[bytes]:
    """The log as `query` wants it. It is followed until `ended` is done; None reads what is there."""
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(contextlib.closing(Watch(path.parent))) if ended is not None else None
        files = stack.enter_context(Files(path))
        reader = _Reader(files, query)
        try:
            async for chunk in reader.past():
                yield chunk
            if watch is not None and ended is not None:
                async for chunk in reader.follow(watch, ended):
                    yield chunk
        except queries.Past as past:
            yield past.output


class _Reader:
    """Reads to the end of what is there, then on as the log grows and is rotated."""

    def __init__(self, files: Files, query: Query) -> None:
        self._files = files
        self._query = query
        self._source: Source | None = None
        """The file that was being written when it was opened."""
        self._last = b""
        """The last line seen: where it was is found again by its time."""

    async def past(self) -> AsyncIterator[bytes]:
        sources = await self._files.open()
        if self._query.tail >= 0:
            sources = _skip_to_tail(sources, self._query.tail)
        if self._query.tail == 0:
            self._last = _final(sources)
        for source in sources:
            async for chunk in self._lines(source, self._query):
                yield chunk
            if source is not sources[-1]:
                self._files.close([source])
        self._source = sources[-1] if sources else None

    async def _lines(self, source: Source, query: Query) -> AsyncIterator[bytes]:
        for lines in source.lines():
            self._last = lines[-1] if lines else self._last
            yield queries.render(lines, query)
            await asyncio.sleep(0)

    async def follow(self, watch: Watch, ended: "asyncio.Future[Any]") -> AsyncIterator[bytes]:
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
                async for chunk in self._lines(self._source, self._query):
                    yield chunk
            if not rotated:
                return
            async for chunk in self._advance():
                yield chunk

    def _rotated(self) -> bool:
        try:
            current = self._files.path.stat().st_ino
        except FileNotFoundError:
            return False  # between the two renames of a rotation
        return self._source is None or current != self._source.inode

    async def _advance(self) -> AsyncIterator[bytes]:
        """Go on behind the file that was just finished; files in between are sent whole."""
        sources = await self._files.open()
        done, query = self._source, self._query
        inodes = [each.inode for each in sources]
        if done and done.inode in inodes:
            place = inodes.index(done.inode) + 1
            self._files.close(sources[:place])
            sources = sources[place:]
        elif done:
            query = replace(query, since=max(query.since, _time(self._last) + 1))
        if not sources:
            return
        if done:
            self._files.close([done])
        for source in sources:
            async for chunk in self._lines(source, query):
                yield chunk
        self._files.close(sources[:-1])
        self._source = sources[-1]


def _time(line: bytes) -> int:
    try:
        return stamp.parse(orjson.loads(line)["time"])
    except (ValueError, KeyError, TypeError):
        return 0
