"""A shim whose container runs and whose calls are answered rests, and gives back memory that others have as well."""

import logging
import time
from typing import Final, Protocol

from protos.sealed import Sealed, release
from services.shim.loop import Loop

log = logging.getLogger("rest")

_QUIET: Final = 1.0
"""Seconds after a call."""
_SELDOM: Final = 15.0
"""Seconds from one time to the next: it takes some milliseconds."""


class Running(Protocol):
    @property
    def running(self) -> bool: ...


class Rest:
    """`memory` is what the zygote's was moved to, if it was."""

    def __init__(self, loop: Loop, container: Running, memory: Sealed | None) -> None:
        self._loop = loop
        self._container = container
        self._memory = memory
        self._soon = False
        self._last = -_SELDOM

    def disturbed(self) -> None:
        """A call was answered."""
        if self._memory and not self._soon:
            self._soon = True
            self._loop.call_later(max(_QUIET, self._last + _SELDOM - time.monotonic()), self._rest)

    def _rest(self) -> None:
        self._soon = False
        if self._memory is None or not self._container.running:
            return
        self._last = time.monotonic()
        try:
            release(self._memory)
        except OSError as error:
            log.info("memory stays as it is error=%s", error)
