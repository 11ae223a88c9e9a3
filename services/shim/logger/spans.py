"""Spans of time as Go spells them: `1s`, `250ms`, `1m30s`. Pure."""

import re
from typing import Final

_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def seconds(text: str) -> float:
    """Of a text that dockerd has checked."""
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
