"""Times as the Engine API writes them: nanoseconds since the epoch here, RFC3339Nano on the wire (pure).

Zero stands for "never" and is written as Go's zero time.
"""

import re
from datetime import UTC, datetime
from typing import Final

NEVER: Final = "0001-01-01T00:00:00Z"
_FORM: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:?\d\d)?")


def rfc3339(nanoseconds: int) -> str:
    """`2024-05-01T10:00:00.123456789Z`, without trailing zeros of the fraction."""
    return exact(nanoseconds) if nanoseconds else NEVER


def exact(nanoseconds: int) -> str:
    """As `rfc3339` where zero is a moment like any other, as in a file's times."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else text + "Z"


def fixed(nanoseconds: int) -> str:
    """As `rfc3339`, always with nine digits of fraction: how log lines are stamped."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{fraction:09d}Z"


def parse(text: str) -> int:
    """Nanoseconds of an RFC3339 time; 0 for Go's zero time; ValueError where it is none."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC3339 time: {text!r}")
    day, clock, fraction, zone = match.groups()
    if day.startswith("0001-"):
        return 0
    zone = "+00:00" if zone in (None, "Z", "z") else zone
    moment = datetime.fromisoformat(f"{day}T{clock}{zone}")
    return int(moment.timestamp()) * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


def moment(text: str, now: int) -> int:
    """A `since` or `until` of the API: unix seconds, RFC3339, a bare date, or a Go duration before `now`."""
    if match := re.fullmatch(r"(-?\d+)(?:\.(\d{1,9})\d*)?", text):
        return int(match[1]) * 1_000_000_000 + int((match[2] or "0").ljust(9, "0"))
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return parse(text + "T00:00:00Z")
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d", text):
        return parse(text + ":00Z")
    if re.fullmatch(_DURATION, text):
        return now - duration(text)
    return parse(text)


def duration(text: str) -> int:
    """Nanoseconds of a Go duration, `1h30m`; ValueError for anything else."""
    if text != "0" and not re.fullmatch(_DURATION, text):
        raise ValueError(f"not a duration: {text}")
    return sum(_span(number, unit) for number, unit in re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)", text))


_DURATION: Final = r"((\d+(?:\.\d+)?)(h|ms|us|ns|m|s))+"
_UNITS: Final = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def _span(number: str, unit: str) -> int:
    return int(float(number) * _UNITS[unit])


def ago(seconds: float) -> str:
    """How long, as Docker's list words it: `Less than a second`, `About a minute`, `3 hours`."""
    whole = int(seconds)
    minutes, hours = whole // 60, round(seconds / 3600)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    return _long(hours)


def _long(hours: int) -> str:
    if hours == 1:
        return "About an hour"
    for limit, size, unit in ((48, 1, "hours"), (24 * 7 * 2, 24, "days"), (24 * 30 * 2, 24 * 7, "weeks"),
                              (24 * 365 * 2, 24 * 30, "months")):
        if hours < limit:
            return f"{hours // size} {unit}"
    return f"{hours // 24 // 365} years"
