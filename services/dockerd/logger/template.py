"""The part of Go's templates that log tags use: fields, maps, `index`, `printf` and the like, pipes. Pure.

Not there: `if`, `range`, `with` and variables, which are refused by name.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from protos.errdefs import InvalidArgument

_ACTION: Final = re.compile(r"(\s*)\{\{(-\s)?(.*?)(\s-)?\}\}(\s*)", re.DOTALL)
_COMMENT: Final = re.compile(r"\s*/\*.*?\*/\s*", re.DOTALL)
_TOKEN: Final = re.compile(
    r'\s+|(?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<number>-?\d+)|(?P<field>(?:\.\w+)+|\.)|(?P<name>\w+)|(?P<mark>[|()])'
)
_Token = tuple[str, str]


def expand(name: str, template: str, data: Mapping[str, Any]) -> str:
    """InvalidArgument for what the template does not mean."""
    def replace(match: re.Match[str]) -> str:
        before, left, action, right, after = match.groups()
        value = "" if _COMMENT.fullmatch(action) else _show(_evaluate(name, template, action, data))
        return ("" if left else before) + value + ("" if right else after)

    return _ACTION.sub(replace, template)


def _evaluate(name: str, template: str, action: str, data: Mapping[str, Any]) -> Any:
    try:
        tokens = _tokens(action)
        value = _pipe(tokens, data)
        if tokens:
            raise ValueError(f"unexpected {tokens[0][1]!r} in operand")
    except (ValueError, TypeError, LookupError) as error:
        line = template[: template.find(action)].count("\n") + 1
        raise InvalidArgument(f"template: {name}:{line}: {error}") from error
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


def _pipe(tokens: list[_Token], data: Mapping[str, Any]) -> Any:
    value = _command(tokens, data, ())
    while tokens and tokens[0] == ("mark", "|"):
        tokens.pop(0)
        value = _command(tokens, data, (value,))
    return value


def _command(tokens: list[_Token], data: Mapping[str, Any], piped: Sequence[Any]) -> Any:
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


def _operand(tokens: list[_Token], data: Mapping[str, Any]) -> Any:
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


def _field(text: str, data: Mapping[str, Any]) -> Any:
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


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else text


_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "nil": None}
_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "index": _index,
    "printf": _printf,
    "print": lambda *values: "".join(map(_show, values)),
    "len": len,
    "json": lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
    "split": lambda text, separator: text.split(separator),
    "join": lambda parts, separator: separator.join(parts),
    "title": lambda text: text.title(),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "pad": _pad,
    "truncate": lambda text, length: text[:length],
}
