"""The journal of events: on disk, bounded, read back by `since` and `until` across restarts.

One line an event: its message as JSON, a tab, its key. A key marks what must be told once (`die`): `publish` skips a
key that the journal holds. Followers read the file at their own pace, so a slow one loses nothing but what was
rotated away twice. The file is appended without fsync: it survives this process, not the machine's power.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from services.dockerd.filters import Filters
from services.dockerd.metrics import meter

log = logging.getLogger("events")

LIMIT: Final = 8 << 20
"""Bytes of one file; two are kept."""
_CHUNK: Final = 256 << 10

ACCEPTED: Final = frozenset({
    "config", "container", "daemon", "event", "id", "image", "label", "network", "node", "plugin", "scope", "secret",
    "service", "type", "volume",
})


@dataclass(slots=True)
class Journal:
    directory: Path
    limit: int = LIMIT
    _file: int = -1
    _size: int = 0
    _generation: int = 0
    _keys: set[str] = field(default_factory=set)
    _followers: set[asyncio.Event] = field(default_factory=set)

    @property
    def path(self) -> Path:
        return self.directory / "events.jsonl"

    @property
    def older(self) -> Path:
        return self.directory / "events.jsonl.1"

    def open(self) -> "Journal":
        """Open or make the files, mend a torn last line, and learn the keys."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size
        if self._size and os.pread(self._file, 1, self._size - 1) != b"\n":
            self._append(b"\n")
        for path in (self.older, self.path):
            self._keys.update(_keys(path))
        return self

    def close(self) -> None:
        """No more events; followers end."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._wake()

    @property
    def followers(self) -> int:
        return len(self._followers)

    def holds(self, key: str) -> bool:
        return key in self._keys

    def publish(
        self, kind: str, action: str, actor: str, attributes: Mapping[str, str], *, key: str = "", at: int = 0
    ) -> bool:
        """Append an event and wake followers; False, and nothing done, for a key already there. `at` in ns."""
        if key and key in self._keys:
            return False
        at = at or time.time_ns()
        message = _message(kind, action, actor, attributes, at)
        self._append(orjson.dumps(message) + b"\t" + key.encode() + b"\n")
        if key:
            self._keys.add(key)
        meter.count("events")
        self._wake()
        return True

    def _append(self, line: bytes) -> None:
        if self._file < 0:
            return
        try:
            if self._size + len(line) > self.limit:
                self._rotate()
            self._size += os.write(self._file, line)
        except OSError as error:
            log.error("event not written to the journal path=%s error=%s", self.path, error)

    def _rotate(self) -> None:
        self.path.replace(self.older)
        os.close(self._file)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = 0
        self._generation += 1
        self._keys = set(_keys(self.older))

    def _wake(self) -> None:
        for follower in self._followers:
            follower.set()

    async def read(self, wanted: Filters, since: int | None, until: int | None) -> AsyncIterator[bytes]:
        """Messages as JSON: past ones if `since` or `until` is given, then new ones until `until` (ns) has come."""
        grown = asyncio.Event()
        self._followers.add(grown)
        cursor = _Cursor(self, past=since is not None or until is not None)
        try:
            while True:
                grown.clear()
                for line in cursor.lines():
                    message = _select(line, wanted, since or 0, until)
                    if message:
                        yield message
                if self._file < 0 or not await _patience(grown, until):
                    return
        finally:
            self._followers.discard(grown)
            cursor.close()


async def lines(journal: Journal, wanted: Filters, since: int | None, until: int | None) -> AsyncIterator[bytes]:
    """As `Journal.read`, each message with the newline it has on the wire."""
    async for message in journal.read(wanted, since, until):
        yield message + b"\n"


class _Cursor:
    """A reader's place in the journal: an own descriptor, so that a rotated file is read to its end."""

    def __init__(self, journal: Journal, *, past: bool) -> None:
        self._journal = journal
        self._generation = journal._generation
        self._rest = b""
        if past and journal.older.exists():
            self._generation -= 1
        self._file = os.open(journal.older if self._generation < journal._generation else journal.path, _READ)
        if not past:
            os.lseek(self._file, 0, os.SEEK_END)

    def lines(self) -> Iterator[bytes]:
        """All whole lines there are now."""
        while True:
            chunk = os.read(self._file, _CHUNK)
            if chunk:
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                yield from lines
            elif self._generation < self._journal._generation:
                self._advance()
            else:
                return

    def _advance(self) -> None:
        os.close(self._file)
        missed = self._journal._generation - self._generation - 1
        if missed > 1:
            log.warning("a follower of events was too slow generations_missed=%d", missed - 1)
        self._generation = self._journal._generation - (1 if missed else 0)
        self._file = os.open(self._journal.older if missed else self._journal.path, _READ)
        self._rest = b""

    def close(self) -> None:
        os.close(self._file)


_READ: Final = os.O_RDONLY | os.O_CLOEXEC


def _keys(path: Path) -> Iterator[str]:
    if path.exists():
        with path.open("rb") as lines:
            for line in lines:
                key = line.rpartition(b"\t")[2].strip()
                if key and b"\t" in line:
                    yield key.decode(errors="replace")


async def _patience(grown: asyncio.Event, until: int | None) -> bool:
    """Wait for more events; False once `until` has come."""
    if until is None:
        await grown.wait()
        return True
    try:
        async with asyncio.timeout(max(0.0, (until - time.time_ns()) / 1e9)):
            await grown.wait()
    except TimeoutError:
        return False
    return True


def _message(kind: str, action: str, actor: str, attributes: Mapping[str, str], at: int) -> dict[str, Any]:
    message: dict[str, Any] = {
        "Type": kind,
        "Action": action,
        "Actor": {"ID": actor, "Attributes": dict(attributes)},
        "scope": "local",
        "time": at // 1_000_000_000,
        "timeNano": at,
    }
    if kind == "container":
        message = {"status": action, "id": actor, "from": attributes.get("image", "")} | message
    elif kind == "image":
        message = {"status": action, "id": actor} | message
    return message


def _select(line: bytes, wanted: Filters, since: int, until: int | None) -> bytes:
    """The message of a line that is wanted; empty for others, torn ones included."""
    text = line.rpartition(b"\t")[0]
    if not text or not (wanted.fields or since or until is not None):
        return text
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return b""
    if message["timeNano"] < since or (until is not None and message["timeNano"] > until):
        return b""
    return text if matches(message, wanted) else b""


def matches(message: dict[str, Any], wanted: Filters) -> bool:
    """Docker's rules: actions exactly (those with a suffix by their beginning), objects by ID or name."""
    kind, actor = message["Type"], message["Actor"]
    suffixed = {"health_status", "exec_create", "exec_start"} & set(wanted.get("event"))
    action = wanted.fuzzy if suffixed else wanted.exact
    return (
        action("event", message["Action"])
        and wanted.exact("type", kind)
        and wanted.exact("scope", message["scope"])
        and wanted.labels("label", actor["Attributes"])
        and (not wanted.get("id") or wanted.fuzzy("id", actor["ID"]))
        and all(_object(wanted, each, actor) for each in _OBJECTS)
        and _image(wanted, kind, actor)
    )


_OBJECTS: Final = ("daemon", "container", "plugin", "volume", "network", "node", "service", "secret", "config")


def _object(wanted: Filters, name: str, actor: dict[str, Any]) -> bool:
    return wanted.fuzzy(name, actor["ID"]) or wanted.fuzzy(name, actor["Attributes"].get("name", ""))


def _image(wanted: Filters, kind: str, actor: dict[str, Any]) -> bool:
    name = actor["Attributes"].get("name" if kind == "image" else "image", "")
    return any(wanted.exact("image", each) for each in (actor["ID"], name, _untagged(actor["ID"]), _untagged(name)))


def _untagged(reference: str) -> str:
    head, colon, tag = reference.rpartition(":")
    return head if colon and "/" not in tag else reference
