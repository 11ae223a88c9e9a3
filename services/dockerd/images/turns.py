"""A limit on what goes on at once, asked for anew at each turn, so that a reload changes it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Turns:
    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._active = 0
        self._changed = asyncio.Condition()

    @property
    def full(self) -> bool:
        return self._active >= max(1, self._limit())

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A turn, once there is one."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self.full)
            self._active += 1
        try:
            yield
        finally:
            self._active -= 1
            async with self._changed:
                self._changed.notify_all()
