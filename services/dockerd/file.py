"""daemon.json as text (pure): its values by key, each with its line, and precise words for what is wrong with it.

As in Docker a file may be empty, and may begin with a byte order mark. What the keys mean: options.py.
"""

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from protos.errdefs import InvalidArgument
from services.dockerd.options import OPTIONS

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:\n]')
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_KEYS: Final = frozenset(option.key for option in OPTIONS if option.key)
GROUPS: Final = frozenset(key.partition(".")[0] for key in _KEYS if "." in key)
"""Objects that only hold further options: the keys in them are `proxies.http-proxy` and so on."""
IGNORED: Final = frozenset(("builder", "swarm-raft-election-tick", "swarm-raft-heartbeat-tick"))
"""Keys of Docker's without a flag, which ask for nothing that is here."""

SINGLE: Final = {"host-gateway-ip": "host-gateway-ips"}
"""Keys for one value, and those for several that have replaced them."""


@dataclass(frozen=True, slots=True)
class Entry:
    value: Any
    line: int
    within: Mapping[str, int] = field(default_factory=dict, compare=False)
    """Lines of the keys of the object that it is, `a.b` for what is deeper."""


def read(data: bytes) -> dict[str, Entry]:
    """Every option of the file by its key; InvalidArgument says what is wrong, and in which line."""
    text = _decode(data)
    if not text.strip():
        return {}
    document = _parse(text)
    lines = _lines(text)
    entries = {key: Entry(value, lines[key], _within(key, lines)) for key, value in _flat(document, lines)}
    _listed(entries)
    if unknown := [key for key in entries if key not in _KEYS | IGNORED]:
        where = ", ".join(str(entries[key].line) for key in unknown)
        raise InvalidArgument(
            f"the following directives don't match any configuration option: {', '.join(unknown)}"
            f" (line{'s' if len(unknown) > 1 else ''} {where})"
        )
    return {key: entry for key, entry in entries.items() if entry.value is not None}


def _listed(entries: dict[str, Entry]) -> None:
    """Keys that took one value when they were young."""
    for old, new in SINGLE.items():
        if old not in entries:
            continue
        entry = entries.pop(old)
        if new in entries:
            raise InvalidArgument(f"line {entry.line}: {old} stands in the file beside {new}, which has replaced it")
        value = [] if entry.value == "" else None if entry.value is None else [entry.value]
        entries[new] = Entry(value, entry.line)


def _decode(data: bytes) -> str:
    mark, encoding = next((each for each in _MARKS if data.startswith(each[0])), (b"", "utf-8"))
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidArgument(f"invalid JSON: line {line}: the file is not {encoding.upper()}") from error


def _parse(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        rest = text[error.pos :].lstrip()
        line = text.count("\n", 0, len(text) - len(rest)) + 1
        column = len(text) - len(rest) - text.rfind("\n", 0, len(text) - len(rest))
        problem = "JSON has no comments" if rest.startswith(("//", "/*", "#")) else error.msg
        raise InvalidArgument(f"invalid JSON: line {line}, column {column}: {problem}") from error
    except ValueError as error:
        raise InvalidArgument(f"invalid JSON: {error}") from error
    except RecursionError as error:
        problem = "too many objects and lists in one another"
        raise InvalidArgument(f"invalid JSON: line {_deepest(text)}: {problem}") from error
    if not isinstance(document, dict):
        raise InvalidArgument("the file's content must be a JSON object")
    return document


def _deepest(text: str) -> int:
    """The line where more is open than anywhere before it."""
    line, opened, most, found = 1, 0, 0, 1
    for token in _TOKEN.findall(text):
        line += token == "\n"
        opened += (token in "{[") - (token in "}]")
        if opened > most:
            most, found = opened, line
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number of JSON")


def _flat(document: dict[str, Any], lines: dict[str, int]) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if key not in GROUPS:
            yield key, value
        elif isinstance(value, dict):
            yield from ((f"{key}.{name}", inner) for name, inner in value.items())
        elif value is not None:
            raise InvalidArgument(f"line {lines[key]}: {key}: expected an object")


def _within(key: str, lines: dict[str, int]) -> dict[str, int]:
    return {name.removeprefix(f"{key}."): line for name, line in lines.items() if name.startswith(f"{key}.")}


def _lines(text: str) -> dict[str, int]:
    """The line of each key, `a.b` for what is inside `a`; a key that an object has twice is refused.

    `text` is JSON already, so that a string before a colon is a key.
    """
    found: dict[str, int] = {}
    scopes: list[str] = []
    line, last, opened = 1, "", 0
    for token in _TOKEN.findall(text):
        if token == "\n":
            line += 1
        elif token in "{[":
            opened += 1
            scopes.append("" if not scopes else f"{scopes[-1]}{last}." if last else f"#{opened}.")
            last = ""
        elif token in "}]":
            scopes.pop()
            last = ""
        elif token == ":":
            _note(found, scopes[-1] + last, line)
        else:
            last = "" if token == "," else json.loads(token)
    return found


def _note(found: dict[str, int], key: str, line: int) -> None:
    if key in found:
        raise InvalidArgument(f"line {line}: {key} stands in the file twice, in line {found[key]} too")
    found[key] = line
