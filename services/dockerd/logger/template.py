"""The part of Go's templates that log tags use: fields, maps, `index` and other functions, pipes, `if`, `with`. Pure.

Not there: `range`, `define` and variables, which are refused by name.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from protos.errdefs import InvalidArgument

_ACTION: Final = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_COMMENT: Final = re.compile(r"\s*/\*.*?\*/\s*", re.DOTALL)
_TOKEN: Final = re.compile(
    r'\s+|(?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<number>-?\d+)|(?P<field>(?:\.\w+)+|\.)|(?P<name>\w+)|(?P<mark>[|()])'
)
_Token = tuple[str, str]


def expand(name: str, template: str, data: Mapping[str, Any]) -> str:
    """InvalidArgument for what the template does not mean."""
    try:
        text, _, stop = _block(_parts(template), 0, data, live=True)
        if stop:
            raise ValueError(f"unexpected {{{{{stop}}}}}")
    except _Problem as problem:
        raise InvalidArgument(f"template: {name}:{problem.line}: {problem}") from problem
    except ValueError as error:
        raise InvalidArgument(f"template: {name}:1: {error}") from error
    return text


class _Problem(ValueError):
    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


@dataclass(frozen=True, slots=True)
class _Action:
    text: str
    line: int


def _parts(template: str) -> list[str | _Action]:
    """Text and actions by turns; a marker takes the white space beside it away."""
    parts: list[str | _Action] = []
    place, trim = 0, False
    for match in _ACTION.finditer(template):
        text = template[place : match.start()]
        text = text.lstrip() if trim else text
        parts.append(text.rstrip() if match[1] else text)
        parts.append(_Action(match[2].strip(), template.count("\n", 0, match.start()) + 1))
        place, trim = match.end(), bool(match[3])
    if (opened := template.find("{{", place)) >= 0:
        raise _Problem(template.count("\n", 0, opened) + 1, "unclosed action")
    parts.append(template[place:].lstrip() if trim else template[place:])
    return parts


def _block(parts: list[str | _Action], place: int, data: Any, live: bool) -> tuple[str, int, str]:
    """What stands up to an `end` or `else`: its text, the place behind it, and that word with what follows it."""
    text: list[str] = []
    while place < len(parts):
        part = parts[place]
        place += 1
        if isinstance(part, str):
            text.append(part)
            continue
        word = part.text.partition(" ")[0]
        if word in ("end", "else"):
            return "".join(text) if live else "", place, part.text
        if word in ("if", "with"):
            chosen, place = _choice(parts, place, part, data, live)
            text.append(chosen)
        elif live and not _COMMENT.fullmatch(part.text):
            text.append(_show(_evaluate(part, part.text, data)))
    return "".join(text) if live else "", place, ""


def _choice(parts: list[str | _Action], place: int, action: _Action, data: Any, live: bool) -> tuple[str, int]:
    word, _, condition = action.text.partition(" ")
    value = _evaluate(action, condition, data) if live else None
    taken = live and bool(value)
    text, place, stop = _block(parts, place, value if taken and word == "with" else data, taken)
    while stop.startswith("else"):
        follows = stop.removeprefix("else").strip()
        if follows.startswith(("if ", "with ")):
            other, place = _choice(parts, place, _Action(follows, action.line), data, live and not taken)
            return text + other, place
        other, place, stop = _block(parts, place, data, live and not taken)
        text += other
    if stop != "end":
        raise _Problem(action.line, "unexpected EOF")
    return text, place


def _evaluate(action: _Action, expression: str, data: Any) -> Any:
    try:
        tokens = _tokens(expression)
        value = _pipe(tokens, data)
        if tokens:
            raise ValueError(f"unexpected {tokens[0][1]!r} in operand")
    except (ValueError, TypeError, LookupError) as error:
        raise _Problem(action.line, str(error)) from error
    return value


def _tokens(action: str) -> list[_Token]:
    tokens: list[_Token] = []
    place = 0
    while place < len(action):
        match = _TOKEN.match(action, place)
        if match is None:
            raise ValueError(f"unexpected {action[place]!r} in command")
        place = match.end()
        if match.lastgroup:
            tokens.append((match.lastgroup, match[match.lastgroup]))
    return tokens


def _pipe(tokens: list[_Token], data: Any) -> Any:
    value = _command(tokens, data, ())
    while tokens and tokens[0] == ("mark", "|"):
        tokens.pop(0)
        value = _command(tokens, data, (value,))
    return value


def _command(tokens: list[_Token], data: Any, piped: Sequence[Any]) -> Any:
    if not tokens:
        raise ValueError("missing value for command")
    if tokens[0][0] != "name" or tokens[0][1] in _WORDS:
        return _operand(tokens, data)
    function = tokens.pop(0)[1]
    if function not in _FUNCTIONS:
        raise ValueError(f'function "{function}" not defined')
    arguments: list[Any] = []
    while tokens and tokens[0] not in (("mark", "|"), ("mark", ")")):
        arguments.append(_operand(tokens, data))
    return _FUNCTIONS[function](*arguments, *piped)


def _operand(tokens: list[_Token], data: Any) -> Any:
    kind, text = tokens.pop(0)
    if kind == "text":
        return text[1:-1] if text[0] == "`" else json.loads(text)
    if kind == "number":
        return int(text)
    if kind == "field":
        return _field(text, data)
    if kind == "name" and text in _WORDS:
        return _WORDS[text]
    if (kind, text) == ("mark", "("):
        value = _pipe(tokens, data)
        if not tokens or tokens.pop(0) != ("mark", ")"):
            raise ValueError("unclosed left paren")
        return value
    raise ValueError(f"unexpected {text!r} in operand")


def _field(text: str, data: Any) -> Any:
    value: Any = data
    for depth, part in enumerate(text.split(".")[1:]):
        if not part:
            continue
        if not isinstance(value, Mapping) or (depth == 0 and part not in value):
            raise ValueError(f"executing at <{text}>: can't evaluate field {part} in type *logger.Info")
        value = value.get(part, "")
    return value


def _show(value: Any) -> str:
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{_show(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(_show, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<no value>" if value is None else str(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key, "") if isinstance(value, Mapping) else value[key]
    return value


def _printf(form: str, *values: Any) -> str:
    shown = [each if isinstance(each, int) else _show(each) for each in values]
    quoted = re.sub(r"%([-+ 0#]*\d*(?:\.\d+)?)([vq])", lambda found: "%" + found[1] + "s", form)
    return quoted % tuple(
        json.dumps(each) if verb == "q" else each
        for each, verb in zip(shown, re.findall(r"%[-+ 0#]*\d*(?:\.\d+)?([a-z])", form), strict=True)
    )


def _first(wanted: bool) -> Callable[..., Any]:
    """Go's `or` and `and`: the first argument that decides, else the last."""
    return lambda *values: next((each for each in values if bool(each) is wanted), values[-1])


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else text


_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "nil": None}
_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "index": _index,
    "printf": _printf,
    "print": lambda *values: "".join(map(_show, values)),
    "len": len,
    "eq": lambda value, *others: value in others,
    "ne": lambda value, other: value != other,
    "not": lambda value: not value,
    "and": _first(False),
    "or": _first(True),
    "json": lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
    "split": lambda text, separator: text.split(separator),
    "join": lambda parts, separator: separator.join(parts),
    "title": lambda text: text.title(),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "pad": _pad,
    "truncate": lambda text, length: text[:length],
}
