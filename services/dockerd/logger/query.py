"""What `logs` asks for, and a log record as it then goes over the wire (pure)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final
from urllib.parse import quote_plus

import orjson

from services.dockerd.container import stamp

_HEADER: Final = Struct(">BxxxL")
_STREAMS: Final = {"stdout": 1, "stderr": 2}


@dataclass(frozen=True, slots=True)
class Query:
    """`since` and `until` in nanoseconds, 0 for none; `tail` lines, negative for all."""

    stdout: bool = True
    stderr: bool = True
    since: int = 0
    until: int = 0
    tail: int = -1
    follow: bool = False
    timestamps: bool = False
    details: bool = False
    framed: bool = True
    """As stdcopy records, one a line; a terminal's log goes out bare."""

    @property
    def plain(self) -> bool:
        """Every record goes out as it is."""
        return self.stdout and self.stderr and not (self.since or self.until or self.timestamps or self.details)


class Past(Exception):
    """A record is later than `until`; `output` is what came before it."""

    def __init__(self, output: bytes) -> None:
        super().__init__()
        self.output = output


def render(lines: Iterable[bytes], query: Query) -> bytes:
    """Records of the wire for lines of a log file; what is no record is left out. Raises Past."""
    if query.plain and query.framed:
        return b"".join(_frames(lines))
    parts: list[bytes] = []
    for line in lines:
        record = _decode(line)
        if record is None:
            continue
        text: bytes = record["log"].encode()
        stream = _STREAMS.get(record.get("stream", "stdout"), 1)
        at = _time(record) if query.since or query.until else 0
        if query.until and at > query.until:
            raise Past(b"".join(parts))
        if at < query.since or not (query.stdout if stream == 1 else query.stderr):
            continue
        if query.timestamps or query.details:
            text = _head(_time(record) if query.timestamps else 0, record.get("attrs") or {}, query) + text
        if query.framed:
            parts.append(_HEADER.pack(stream, len(text)))
        parts.append(text)
    return b"".join(parts)


def _frames(lines: Iterable[bytes]) -> Iterable[bytes]:
    pack, loads = _HEADER.pack, orjson.loads
    for line in lines:
        try:
            record = loads(line)
            text = record["log"].encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        yield pack(2 if record.get("stream") == "stderr" else 1, len(text))
        yield text


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of a log that is not of JSON; `text` has its newline, `time` is in nanoseconds since the epoch."""

    stderr: bool
    time: int
    text: bytes
    attributes: Mapping[str, str]


def show(entries: Iterable[Entry], query: Query) -> bytes:
    """As `render`, for other logs."""
    parts: list[bytes] = []
    for entry in entries:
        if query.until and entry.time > query.until:
            raise Past(b"".join(parts))
        if entry.time < query.since or not (query.stderr if entry.stderr else query.stdout):
            continue
        text = _head(entry.time, entry.attributes, query) + entry.text
        if query.framed:
            parts.append(_HEADER.pack(2 if entry.stderr else 1, len(text)))
        parts.append(text)
    return b"".join(parts)


def _decode(line: bytes) -> dict[str, Any] | None:
    try:
        record = orjson.loads(line)
        record["log"] + ""
    except (ValueError, KeyError, TypeError):
        return None
    return record  # type: ignore[no-any-return]


def _time(record: dict[str, Any]) -> int:
    try:
        return stamp.parse(record["time"])
    except (ValueError, KeyError, TypeError):
        return 0


def _head(time: int, attributes: Mapping[str, Any], query: Query) -> bytes:
    head = ""
    if query.timestamps:
        head = stamp.fixed(time) + " "
    if query.details:
        head += ",".join(f"{quote_plus(key)}={quote_plus(str(attributes[key]))}" for key in sorted(attributes)) + " "
    return head.encode()
