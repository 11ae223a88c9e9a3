"""Options of storage drivers as `--storage-opt` gives them, refused in Docker's words. Pure."""

from collections.abc import Iterable
from typing import Final

from protos import errdefs

_UNITS: Final = {"": 1, "b": 1, **{letter: 1 << 10 * power for power, letter in enumerate("kmgtp", 1)}}


def parse(texts: Iterable[str]) -> dict[str, str]:
    """`key=value` each, keys in lower case; the last of a key counts."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise errdefs.InvalidArgument(f"unable to parse key/value option: {text}")
        found[key.strip().lower()] = value.strip()
    return found


def size(text: str) -> int:
    """Bytes of `64m`, `1GiB`, `1024`: Docker's RAMInBytes."""
    lower = text.strip().lower()
    unit = lower.lstrip("0123456789.").strip()
    amount = lower[: len(lower) - len(unit)].strip()
    try:
        return int(float(amount) * _UNITS[unit if unit in _UNITS else unit.removesuffix("b").removesuffix("i")])
    except (ValueError, KeyError):
        raise errdefs.InvalidArgument(f"invalid size: '{text}'") from None
