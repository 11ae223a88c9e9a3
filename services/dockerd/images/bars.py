"""The bars of one request: how far each blob is, not drawn more often than anybody can see."""

import time
from typing import Final

from services.dockerd.images import progress
from services.dockerd.images.said import Say

_EVERY: Final = 0.1
"""Seconds between two records of one bar."""


class Bars:
    def __init__(self, say: Say) -> None:
        self._say = say
        self._told: dict[str, tuple[str, float]] = {}

    def tell(self, key: str, text: str, current: int = 0, total: int = 0) -> None:
        """The state of the bar `key`, in bytes; `total` is 0 where there is nothing to draw."""
        before, at = self._told.get(key, ("", 0.0))
        now = time.monotonic()
        if text == before and (not total or (now - at < _EVERY and current < total)):
            return
        self._told[key] = (text, now)
        self._say(progress.bar(text, key, current, total) if total else progress.status(text, key))
