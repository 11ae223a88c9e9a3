"""A proxy without work rests, and gives back memory that other proxies have as well."""

from contextlib import suppress
from typing import Final

from protos.sealed import Sealed, release
from services.proxy.loop import Loop

_FIRST: Final = 1.0
"""Seconds until it rests for the first time."""
_SECOND: Final = 15.0
_LONGEST: Final = 600.0
"""What is woken again and again rests ever more seldom: it takes some milliseconds."""


class Rest:
    def __init__(self, loop: Loop, memory: Sealed) -> None:
        self._loop = loop
        self._memory = memory
        self._next = _SECOND
        loop.later(_FIRST, self._due)

    def _due(self) -> None:
        self._loop.rest(self._rest)

    def _rest(self, until: int, seconds: float | None) -> None:
        with suppress(OSError):  # it costs memory and nothing else
            release(self._memory, until, seconds)
        self._loop.later(self._next, self._due)
        self._next = min(2 * self._next, _LONGEST)
