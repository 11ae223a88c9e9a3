"""A shim whose container runs and whose calls are answered rests, and gives back memory that others have as well."""

import logging
from typing import Final, Protocol

from protos.sealed import Sealed, release
from services.shim.loop import Loop

log = logging.getLogger("rest")

_FIRST: Final = 1.0
"""Seconds after a call until it rests for the first time."""
_AGAIN: Final = 15.0
"""Seconds after a later one."""
_LONGEST: Final = 600.0
"""Who is woken again and again by something else rests ever more seldom: it takes some milliseconds."""


class Running(Protocol):
    @property
    def running(self) -> bool: ...


class Rest:
    """`memory` is what the zygote's was moved to, if it was."""

    def __init__(self, loop: Loop, container: Running, memory: Sealed | None) -> None:
        self._loop = loop
        self._container = container
        self._memory = memory
        self._timer = 0
        self._next = _FIRST

    def answered(self) -> None:
        """A call was."""
        if self._memory:
            self._loop.cancel(self._timer)
            self._next = min(self._next, _AGAIN)
            self._timer = self._loop.call_later(self._next, self._due)

    def _due(self) -> None:
        if self._container.running:
            self._loop.rest(self._rest)

    def _rest(self, until: int, seconds: float | None) -> None:
        assert self._memory is not None
        try:
            release(self._memory, until, seconds)
        except OSError as error:
            log.info("memory stays as it is error=%s", error)
        self._next = min(max(2 * self._next, _AGAIN), _LONGEST)
        self._timer = self._loop.call_later(self._next, self._due)
