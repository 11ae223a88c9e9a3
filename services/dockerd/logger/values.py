"""Values of log options, refused in the words of Go's libraries. Pure."""

import re
from collections.abc import Callable
from typing import Final, TypeVar

from protos.errdefs import InvalidArgument

T = TypeVar("T")
_UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SPAN: Final = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)"


def size(text: str) -> int:
    """Bytes of `10m`, `1.5k`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", text.strip().lower())
    if match is None:
        raise InvalidArgument(f"invalid size: '{text}'")
    return int(float(match[1]) * _UNITS[match[2]])


def integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        raise InvalidArgument(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def unsigned(text: str) -> int:
    if not re.fullmatch(r"\d+", text, re.ASCII):
        raise InvalidArgument(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def is_truth(text: str) -> bool:
    return text in _TRUE | _FALSE


def truth(text: str) -> bool:
    if not is_truth(text):
        raise InvalidArgument(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _TRUE


def span(text: str) -> float:
    """Seconds of `1s`, `1m30s`, `250ms`."""
    if text == "0":
        return 0.0
    if not re.fullmatch(f"(?:{_SPAN})+", text):
        raise InvalidArgument(f'time: invalid duration "{text}"')
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_SPAN, text))


def wrapped(what: str, parse: Callable[[str], T], text: str) -> T:
    """`parse`, with `what` before its refusal."""
    try:
        return parse(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"{what}: {error}") from error
