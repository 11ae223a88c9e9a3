"""The options of drivers that write files: `max-size`, `max-file`, `compress`. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from protos.errdefs import InvalidArgument

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?([kKmMgGtTpP])?(i?[bB])?")
_POWERS: Final = "kmgtp"
_BUFFER: Final = 1 << 20
ASYNC: Final = ("fluentd-async", "fluentd-async-connect")
"""The option's present name and its former one."""


@dataclass(frozen=True, slots=True)
class Options:
    """`max_size` in bytes, -1 for no limit; `max_files` counts the one being written.

    `buffer` is what may wait for a driver that is not ready before lines are dropped; -1 makes the container wait.
    """

    max_size: int = -1
    max_files: int = 1
    compress: bool = False
    buffer: int = -1

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> "Options":
        """Those of json-file."""
        return cls._parse(options, cls(), _size)

    @classmethod
    def local(cls, options: Mapping[str, str]) -> "Options":
        """Those of `local`: its files are turned over and compressed unless it is told otherwise."""
        return cls._parse(options, cls(20 << 20, 5, True), _binary_size)

    @classmethod
    def cache(cls, options: Mapping[str, str]) -> "Options":
        """Those of a driver's local copy: the container waits for it only where it is said so."""
        prefix = "cache-"
        own = {name.removeprefix(prefix): value for name, value in options.items() if name.startswith(prefix)}
        mode = options.get("mode") or "non-blocking"
        return cls.local({**own, "mode": mode, "max-buffer-size": options.get("max-buffer-size", "")})

    @classmethod
    def _parse(cls, options: Mapping[str, str], default: "Options", scale: Callable[[str], int]) -> "Options":
        size, files = options.get("max-size", ""), options.get("max-file", "")
        compress = options.get("compress", "")
        parsed = cls(
            scale(size) if size else default.max_size,
            _number(files) if files else default.max_files,
            truth("compress", compress) if compress else default.compress,
            buffer(options.get("mode", ""), options.get("max-buffer-size", "")),
        )
        if parsed.max_files < 1:
            raise InvalidArgument("max-file cannot be less than 1")
        if parsed.compress and (parsed.max_files < 2 or parsed.max_size < 0):
            raise InvalidArgument("compress cannot be true when max-file is less than 2 or max-size is not set")
        return parsed


def buffer(mode: str, size: str) -> int:
    """Bytes that may wait, as `mode` and `max-buffer-size` say; -1 makes the container wait."""
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidArgument(f"logger: logging mode not supported: {mode}")
    if mode != "non-blocking":
        if size:
            raise InvalidArgument("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        return -1
    return _binary_size(size) if size else _BUFFER


def _binary_size(text: str) -> int:
    """And in powers of two there."""
    return _scaled(text, 1024)


def _size(text: str) -> int:
    """Docker counts in thousands here."""
    return _scaled(text, 1000)


def _scaled(text: str, base: int) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidArgument(f"invalid size: '{text}'")
    power = _POWERS.index(match[2].lower()) + 1 if match[2] else 0
    return int(float(match[1]) * base**power)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid value for max-file: {text}") from error


def truth(name: str, text: str) -> bool:
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise InvalidArgument(f"invalid value for {name}: {text}")
