"""Reading a log in files: from its start or its last records, through rotated and compressed files, and as it grows.

The files are opened at once, so that a rotation meanwhile takes nothing away. A follower that reaches the end of a
file which has been rotated goes on with the next; where the next cannot be told by its inode (it was compressed), it
goes by the time of the last record sent. How records look is for jsonfile.py and local.py to say.
"""

import asyncio
import contextlib
import gzip
import io
import os
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, cast

from services.dockerd.logger import query as queries
from services.dockerd.logger.inotify import Watch
from services.dockerd.logger.query import Query

_CHUNK: Final = 256 << 10


class Layout(Protocol):
    """How records look in the files."""

    def cut(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Whole records, and the beginning of one that is unfinished."""

    def last(self, file: BinaryIO, wanted: int) -> tuple[int, int]:
        """Where the last `wanted` records begin, and how many there are (all of the file's if it has fewer)."""

    def render(self, records: Sequence[bytes], query: Query) -> bytes:
        """What goes over the wire; raises Past."""

    def time(self, record: bytes) -> int:
        """0 where it has none."""


def paths(path: Path) -> list[Path]:
    """All files of the log that exist, oldest first; the file being written last."""
    rotated: dict[int, Path] = {}
    for each in path.parent.glob(path.name + ".*"):
        if match := re.fullmatch(r"\.(\d+)(\.gz)?", each.name.removeprefix(path.name)):
            rotated.setdefault(int(match[1]), each)
    return [rotated[number] for number in sorted(rotated, reverse=True)] + ([path] if path.exists() else [])


@dataclass(slots=True, eq=False)
class Source:
    """One open file of a log and how far it is read; `rest` is the beginning of an unfinished record."""

    file: BinaryIO
    inode: int
    rest: bytes = b""

    def records(self, layout: Layout) -> Iterator[list[bytes]]:
        """Whole records up to the present end, chunk by chunk."""
        while chunk := self.file.read(_CHUNK):
            records, self.rest = layout.cut(self.rest + chunk)
            yield records


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


def _skip_to_tail(sources: list[Source], wanted: int, layout: Layout) -> list[Source]:
    """Place the sources so that `wanted` records are left to read; sources wholly before them are dropped."""
    for index in range(len(sources) - 1, -1, -1):
        place, found = layout.last(sources[index].file, wanted)
        sources[index].file.seek(place)
        if found == wanted:
            return sources[index:]
        wanted -= found
    return sources


def _final(sources: list[Source], layout: Layout) -> bytes:
    """The last record there is, without moving the place in its file."""
    for source in reversed(sources):
        before = source.file.tell()
        place, found = layout.last(source.file, 1)
        source.file.seek(place)
        records, rest = layout.cut(source.file.read() if found else b"")
        source.file.seek(before)
        if records or rest:
            return records[-1] if records else rest
    return b""


async def read(
    path: Path, layout: Layout, query: Query, ended: "asyncio.Future[Any] | None"
) -> AsyncIterator[bytes]:
    """The log as `query` wants it. It is followed until `ended` is done; None reads what is there."""
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(contextlib.closing(Watch(path.parent))) if ended is not None else None
        files = stack.enter_context(Files(path))
        reader = _Reader(files, layout, query)
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

    def __init__(self, files: Files, layout: Layout, query: Query) -> None:
        self._files = files
        self._layout = layout
        self._query = query
        self._source: Source | None = None
        """The file that was being written when it was opened."""
        self._last = b""
        """The last record seen: where it was is found again by its time."""

    async def past(self) -> AsyncIterator[bytes]:
        sources = await self._files.open()
        if self._query.tail >= 0:
            sources = _skip_to_tail(sources, self._query.tail, self._layout)
        if self._query.tail == 0:
            self._last = _final(sources, self._layout)
        for source in sources:
            async for chunk in self._records(source, self._query):
                yield chunk
            if source is not sources[-1]:
                self._files.close([source])
        self._source = sources[-1] if sources else None

    async def _records(self, source: Source, query: Query) -> AsyncIterator[bytes]:
        for records in source.records(self._layout):
            self._last = records[-1] if records else self._last
            yield self._layout.render(records, query)
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
                async for chunk in self._records(self._source, self._query):
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
            query = replace(query, since=max(query.since, self._layout.time(self._last) + 1))
        if not sources:
            return
        if done:
            self._files.close([done])
        for source in sources:
            async for chunk in self._records(source, query):
                yield chunk
        self._files.close(sources[:-1])
        self._source = sources[-1]

