"""Progress records: the JSON lines that clients draw bars from. Pure."""

from typing import Any

import orjson

_WIDTH = 50
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def encode(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record) + b"\r\n"


def stream(text: str) -> bytes:
    """Text that clients print as it is."""
    return encode({"stream": text})


def status(text: str, key: str = "") -> bytes:
    """A line of its own, or the state of the bar `key`."""
    return encode({"status": text, "progressDetail": {}, "id": key} if key else {"status": text})


def titled(text: str, title: str) -> bytes:
    """A line of its own behind a title: `latest: Pulling from library/busybox`."""
    return encode({"status": text, "id": title})


def aux(document: dict[str, Any]) -> bytes:
    """What programs read and people do not see."""
    return encode({"progressDetail": {}, "aux": document})


def bar(text: str, key: str, current: int, total: int) -> bytes:
    """A bar at `current` of `total` bytes; its drawing is for clients that do not draw themselves."""
    drawing = f"{human(current):>8}"
    if total:
        filled = min(_WIDTH, _WIDTH * current // total)
        drawing = f"[{'=' * filled}>{' ' * (_WIDTH - filled)}] {drawing}/{human(total)}"
    return encode(
        {"status": text, "progressDetail": {"current": current, "total": total}, "progress": drawing, "id": key}
    )


def failure(message: str) -> bytes:
    """The last line of a stream whose 200 is out already."""
    return encode({"errorDetail": {"message": message}, "error": message})


def human(size: float) -> str:
    """Decimal units, four significant digits, as Docker writes them: `4.321MB`."""
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            break
        size /= 1000
    return f"{size:.4g}{unit}"
