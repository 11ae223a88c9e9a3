"""A log call's format string taken apart: `docker-proxy died container=%s pid=%d` says what happened, then with which
values. What the values are is never looked at, so that no text of a client's becomes a field.
"""

import functools
import re
from typing import Final

Value = str | int | float

_FIELD: Final = re.compile(r" +(?=[A-Za-z][\w-]*=)")
_PLACE: Final = re.compile(r"%(?:%|[-#0 +]*\d*(?:\.\d+)?([a-zA-Z]))")
_INTEGER: Final = re.compile("%[di]")
_NUMBER: Final = re.compile(r"%\.\d+f")


def split(template: object, values: object) -> tuple[str, dict[str, Value]] | None:
    """What happened, and the fields; None of a call that fills its format in another way than by position."""
    places = values if isinstance(values, tuple) else (values,)
    head, keys, counts = _parts(str(template))
    if len(places) != sum(counts):
        return None
    rest = iter(places)

    def filled(text: str, count: int) -> str:
        return text % tuple(next(rest) for _ in range(count)) if places else text

    said = filled(head, counts[0])
    found: dict[str, Value] = {}
    for (key, text), count in zip(keys, counts[1:], strict=True):
        value = filled(text, count)
        found[key] = int(value) if _INTEGER.fullmatch(text) else float(value) if _NUMBER.fullmatch(text) else value
    return said, found


@functools.lru_cache(512)
def _parts(template: str) -> tuple[str, tuple[tuple[str, str], ...], tuple[int, ...]]:
    """Format of what happened; key and format of each field; how many values each of these formats takes."""
    head, *fields = _FIELD.split(template)
    keys = tuple((key, text) for key, _, text in (field.partition("=") for field in fields))
    formats = (head, *(text for _, text in keys))
    return head, keys, tuple(sum(1 for place in _PLACE.finditer(text) if place[1]) for text in formats)
