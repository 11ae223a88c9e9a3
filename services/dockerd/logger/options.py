"""Log drivers and their options as create checks them (pure). Writing is the shim's."""

import re
from typing import Final

from protos import errdefs
from services.dockerd.schema.container import LogSettings

_COMMON: Final = frozenset({"labels", "labels-regex", "env", "env-regex", "tag", "mode", "max-buffer-size"})
_KNOWN: Final[dict[str, frozenset[str]]] = {
    "json-file": _COMMON | {"max-file", "max-size", "compress"},
    "none": frozenset(),
}
_LATER: Final = frozenset({"local", "journald", "syslog", "gelf", "fluentd", "awslogs", "splunk", "etwlogs", "gcplogs"})
_UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def check(settings: LogSettings) -> None:
    """Refuse unknown drivers and options, and values that make no sense."""
    given = settings.Config or {}
    if settings.Type in _LATER:
        raise errdefs.Unimplemented(f"log driver {settings.Type} is not implemented: use json-file or none")
    if settings.Type not in _KNOWN:
        raise errdefs.InvalidArgument(f"logger: no log driver named '{settings.Type}' is registered")
    for name in given:
        if name not in _KNOWN[settings.Type] and settings.Type != "none":
            raise errdefs.InvalidArgument(f"unknown log opt '{name}' for {settings.Type} log driver")
    if settings.Type == "json-file":
        _check_file(given)
    if given.get("mode", "blocking") not in ("blocking", "non-blocking"):
        raise errdefs.InvalidArgument(f"logger: logging mode not supported: {given['mode']}")


def _check_file(given: dict[str, str]) -> None:
    size_limit = size(given["max-size"]) if "max-size" in given else -1
    files = given.get("max-file", "1")
    if not re.fullmatch(r"-?\d+", files):
        raise errdefs.InvalidArgument(f'strconv.Atoi: parsing "{files}": invalid syntax')
    if int(files) < 1:
        raise errdefs.InvalidArgument("max-file cannot be less than 1")
    if given.get("compress") == "true" and (int(files) < 2 or size_limit < 0):
        raise errdefs.InvalidArgument("compress cannot be true when max-file is less than 2 or max-size is not set")
    if given.get("compress", "false") not in ("true", "false"):
        raise errdefs.InvalidArgument(f'strconv.ParseBool: parsing "{given["compress"]}": invalid syntax')


def size(text: str) -> int:
    """Bytes of `10m`, `1.5k`; InvalidArgument for others."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmg]?)i?b?", text.strip().lower())
    if match is None:
        raise errdefs.InvalidArgument(f"invalid size: '{text}'")
    return int(float(match[1]) * _UNITS[match[2]])
