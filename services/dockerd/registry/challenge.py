"""`WWW-Authenticate`: schemes with parameters, several in one field. Pure. Source: RFC 9110, 11.6.1."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

LIMIT: Final = 16 << 10
"""Bytes of such a field that are looked at."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Challenge:
    scheme: str
    """In lower case: `basic`, `bearer`."""
    parameters: dict[str, str] = field(default_factory=dict)


def parse(fields: Iterable[str]) -> list[Challenge]:
    """All challenges of all fields, in their order; what cannot be read ends its field."""
    return [challenge for text in fields for challenge in _field(text[:LIMIT])]


def _field(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    at = 0
    while at < len(text):
        at = _skip(text, at)
        word = _TOKEN.match(text, at)
        if word is None:
            break
        at = word.end()
        if at < len(text) and text[at] == "=" and found:
            value, at = _value(text, at + 1)
            found[-1].parameters[word[0].lower()] = value
        else:
            found.append(Challenge(word[0].lower()))
    return found


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t,":
        at += 1
    return at


def _value(text: str, at: int) -> tuple[str, int]:
    if quoted := _QUOTED.match(text, at):
        return re.sub(r"\\(.)", r"\1", quoted[1]), quoted.end()
    if token := _TOKEN.match(text, at):
        return token[0], token.end()
    return "", len(text)
