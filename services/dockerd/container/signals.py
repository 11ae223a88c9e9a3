"""Signals by Linux name or number, as `kill`, `stop` and STOPSIGNAL take them (pure)."""

import re
import signal
from typing import Final

from protos import errdefs

_BASE: Final = {name.removeprefix("SIG"): int(number) for name, number in signal.Signals.__members__.items()}
_RTMIN: Final = 34
_RTMAX: Final = 64


def parse(text: str) -> int:
    """The number of `SIGTERM`, `term`, `15`, `RTMIN+3`; InvalidArgument in Docker's words for others."""
    word = text.strip().upper().removeprefix("SIG")
    if word.isdecimal() and 0 < int(word) <= _RTMAX:
        return int(word)
    if match := re.fullmatch(r"RT(MIN\+|MAX-)(\d{1,2})", word):
        number = _RTMIN + int(match[2]) if match[1] == "MIN+" else _RTMAX - int(match[2])
        if _RTMIN <= number <= _RTMAX:
            return number
    elif word in ("RTMIN", "RTMAX"):
        return _RTMIN if word == "RTMIN" else _RTMAX
    elif word in _BASE:
        return _BASE[word]
    raise errdefs.InvalidArgument(f"Invalid signal: {text}")
