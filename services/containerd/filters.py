"""containerd's filter grammar: `name==a,labels."k"!=v` is AND, several filters are OR. Pure.

A selector is a field path, alone (is it there?) or with `==`, `!=` or `~=` (an expression) and a value.
Values and path parts may be quoted by `"…"`, and expressions also by `|…|` or `/…/`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from protos import errdefs

Fields = Callable[[list[str]], str | None]
"""What an object offers to a filter: the value at a field path, None where it has none."""

T = TypeVar("T")
Match = Callable[[Fields], bool]

_FIELD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*|\d+")
_OPERATOR: Final = re.compile(r"\s*(==|!=|~=)\s*")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PATTERN: Final = re.compile(r"\|(?:[^|\\]|\\.)*\||/(?:[^/\\]|\\.)*/", re.DOTALL)
_BARE: Final = re.compile(r"[^\s,]+")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Selector:
    path: tuple[str, ...]
    operator: str = ""
    value: str = ""

    def compile(self) -> Match:
        """A predicate that looks the field up once."""
        path, value = list(self.path), self.value
        if not self.operator:
            return lambda fields: fields(path) is not None
        if self.operator == "==":
            return lambda fields: fields(path) == value
        if self.operator == "!=":
            return lambda fields: (fields(path) or "") != value
        try:
            search = re.compile(value).search
        except re.error as error:
            raise errdefs.InvalidArgument(f"filter expression {value!r}: {error}") from error
        return lambda fields: search(fields(path) or "") is not None


def compile_all(filters: Iterable[str]) -> Match:
    """One predicate for a request's filters; true of everything where there are none."""
    clauses = [[selector.compile() for selector in parse(text)] for text in filters]
    if not clauses:
        return lambda fields: True
    return lambda fields: any(all(match(fields) for match in clause) for clause in clauses)


def select(items: Iterable[T], wanted: Iterable[str], field: Callable[[T, list[str]], str | None]) -> list[T]:
    """The items that match; `field(item, path)` gives an item's fields."""
    match = compile_all(wanted)
    return [item for item in items if match(partial(field, item))]


def parse(text: str) -> list[Selector]:
    """The selectors of one filter; InvalidArgument names the place of an error. Empty text selects all."""
    return _Parser(text).selectors()


def labels_field(labels: Mapping[str, str], path: list[str]) -> str | None:
    """Value of `labels.a.b`, where `path` is what follows `labels`; dots may belong to the key."""
    return labels.get(".".join(path))


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def selectors(self) -> list[Selector]:
        found: list[Selector] = []
        self._space()
        while self.at < len(self.text):
            found.append(self._selector())
            self._space()
            if self.at < len(self.text):
                self._expect(",")
                self._space()
                if self.at == len(self.text):
                    raise self._error("a selector must follow the comma")
        return found

    def _selector(self) -> Selector:
        path = [self._part()]
        while self.text.startswith(".", self.at):
            self.at += 1
            path.append(self._part())
        operator = _OPERATOR.match(self.text, self.at)
        if operator is None:
            return Selector(tuple(path))
        self.at = operator.end()
        return Selector(tuple(path), operator[1], self._value(expression=operator[1] == "~="))

    def _part(self) -> str:
        quoted = self._take(_QUOTED)
        if quoted is not None:
            return _unquote(quoted)
        part = self._take(_FIELD)
        if part is None:
            raise self._error("expected a field name")
        return part

    def _value(self, *, expression: bool) -> str:
        quoted = self._take(_QUOTED) or (self._take(_PATTERN) if expression else None)
        if quoted is not None:
            return _unquote(quoted)
        value = self._take(_BARE)
        if value is None or value[0] == '"':
            raise self._error("expected a value")
        return value

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found[0]

    def _space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def _expect(self, token: str) -> None:
        if not self.text.startswith(token, self.at):
            raise self._error(f"expected {token!r}")
        self.at += len(token)

    def _error(self, reason: str) -> errdefs.InvalidArgument:
        return errdefs.InvalidArgument(f"filter {self.text!r}: {reason} at position {self.at}")


def _unquote(text: str) -> str:
    quote, body = text[0], text[1:-1]
    if quote != '"':
        return body.replace("\\" + quote, quote)

    def replace(found: re.Match[str]) -> str:
        code = found[1]
        if code[0] in "xuU" and len(code) > 1:
            return chr(int(code[1:], 16))
        if len(code) == 3:
            return chr(int(code, 8))
        return _ESCAPES.get(code, code)

    return _ESCAPE.sub(replace, body)
