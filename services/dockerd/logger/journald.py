"""Reading a container's log from the journal, by journalctl in its export format.

A follower ends with the container: the journal is then asked to take what is on its way to it, and what comes behind
the last entry sent is read.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from protos.errdefs import Unavailable
from services.dockerd import programs
from services.dockerd.container import stamp
from services.dockerd.logger import query as queries
from services.dockerd.logger.query import Entry, Query

_CHUNK: Final = 64 << 10
_SYNC_SECONDS: Final = 5.0
_KNOWN: Final = frozenset({
    "MESSAGE", "MESSAGE_ID", "PRIORITY", "CODE_FILE", "CODE_LINE", "CODE_FUNC", "ERRNO", "SYSLOG_FACILITY",
    "SYSLOG_IDENTIFIER", "SYSLOG_PID", "SYSLOG_TIMESTAMP", "CONTAINER_NAME", "CONTAINER_ID", "CONTAINER_ID_FULL",
    "CONTAINER_TAG", "IMAGE_NAME", "CONTAINER_PARTIAL_MESSAGE", "CONTAINER_PARTIAL_ID", "CONTAINER_PARTIAL_ORDINAL",
    "CONTAINER_PARTIAL_LAST", "CONTAINER_LOG_EPOCH", "CONTAINER_LOG_ORDINAL",
})
"""Not attributes of the container's own."""

Fields = dict[str, bytes]


def check() -> None:
    if not programs.which("journalctl"):
        raise Unavailable("reading from the journal needs journalctl, of the package systemd")


async def read(identity: str, query: Query, ended: "asyncio.Future[Any] | None") -> AsyncIterator[bytes]:
    """The log as `query` wants it. It is followed until `ended` is done; None reads what is there."""
    await _synchronize()
    reader = _Reader(identity, query)
    lines = [f"--lines={query.tail}"] if query.tail >= 0 else []
    since = [f"--since=@{query.since // 10**9}"] if query.since else []
    try:
        if ended is None:
            async for chunk in reader.run([*lines, *since]):
                yield chunk
            return
        if query.tail == 0:
            await reader.skip()
        async for chunk in reader.run(["--follow", *(lines or ["--no-tail"]), *since], ended):
            yield chunk
        await _synchronize()
        async for chunk in reader.run([f"--after-cursor={reader.cursor}"] if reader.cursor else [*lines, *since]):
            yield chunk
    except queries.Past as past:
        yield past.output
    finally:
        await reader.close()


async def _synchronize() -> None:
    """Have the journal take what was sent to it; without its help what is there is read."""
    child = await asyncio.create_subprocess_exec(
        programs.which("journalctl"), "--sync", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(_SYNC_SECONDS):
            await child.wait()
    except TimeoutError:
        await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    await child.wait()


class _Reader:
    """Runs journalctl, and knows how far it came."""

    def __init__(self, identity: str, query: Query) -> None:
        self.cursor = ""
        self._child: asyncio.subprocess.Process | None = None
        self._match = f"CONTAINER_ID_FULL={identity}"
        self._query = query

    async def skip(self) -> None:
        """Begin behind what is there."""
        async for found in self._entries(["--lines=1"]):
            self.cursor = _cursor(found)

    async def run(
        self, arguments: list[str], ended: "asyncio.Future[Any] | None" = None
    ) -> AsyncIterator[bytes]:
        """What journalctl says; until `ended`, where it would go on for ever."""
        async for found in self._entries(arguments, ended):
            self.cursor = _cursor(found)
            yield queries.show(map(_entry, found), self._query)

    async def _entries(
        self, arguments: list[str], ended: "asyncio.Future[Any] | None" = None
    ) -> AsyncIterator[list[Fields]]:
        self._child = child = await asyncio.create_subprocess_exec(
            programs.which("journalctl"), "--quiet", "--no-pager", "--all", "--output=export", *arguments,
            self._match, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL)
        assert child.stdout
        if ended is not None:
            ended.add_done_callback(self._stop)
        export = Export()
        while data := await child.stdout.read(_CHUNK):
            if found := list(export.feed(data)):
                yield found
        await self.close()

    def _stop(self, _: "asyncio.Future[Any]") -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.terminate()

    async def close(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await _end(child)


def _cursor(found: list[Fields]) -> str:
    return found[-1].get("__CURSOR", b"").decode()


class Export:
    """The journal's export format, cut into entries. Pure."""

    def __init__(self) -> None:
        self._data = b""
        self._fields: Fields = {}

    def feed(self, data: bytes) -> Iterator[Fields]:
        """Entries that `data` completes."""
        self._data += data
        place = 0
        while True:
            after = self._field(place)
            if after < 0:
                break
            if after == place + 1 and self._fields:
                yield self._fields
                self._fields = {}
            place = after
        self._data = self._data[place:]

    def _field(self, place: int) -> int:
        """Take the field at `place`; where the next begins, -1 if this one is not all there."""
        end = self._data.find(b"\n", place)
        if end < 0:
            return -1
        name, equals, value = self._data[place:end].partition(b"=")
        if equals or not name:
            if name:
                self._fields[name.decode()] = value
            return end + 1
        if len(self._data) < end + 9:
            return -1
        length = int.from_bytes(self._data[end + 1 : end + 9], "little")
        after = end + 9 + length + 1
        if len(self._data) < after:
            return -1
        self._fields[name.decode()] = self._data[end + 9 : after - 1]
        return after


def _entry(fields: Fields) -> Entry:
    unfinished = fields.get("CONTAINER_PARTIAL_MESSAGE") == b"true"
    text = fields.get("MESSAGE", b"")
    return Entry(
        fields.get("PRIORITY") == b"3", _time(fields), text if unfinished else text + b"\n",
        {name: value.decode(errors="replace") for name, value in fields.items()
         if name not in _KNOWN and not name.startswith("_")})


def _time(fields: Fields) -> int:
    try:
        return stamp.parse(fields["SYSLOG_TIMESTAMP"].decode())
    except (KeyError, ValueError):
        return int(fields.get("__REALTIME_TIMESTAMP", b"0")) * 1000
