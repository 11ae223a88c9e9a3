"""A driver that cannot be read, with a copy beside it that can: Docker's dual logging."""

from typing import Protocol

from services.shim.logger.driver import Replay
from services.shim.logger.lines import Block, Lines
from services.shim.loop import Future


class Part(Protocol):
    @property
    def blocked(self) -> Future[None] | None: ...

    @property
    def written(self) -> int: ...

    @property
    def dropped(self) -> int: ...

    def take(self, stream: str, blocks: list[Block], now: int) -> None: ...

    def replay(self) -> Replay | None: ...

    def close(self) -> Future[None] | None: ...


class Cached:
    """Counts what its first part counts; the container waits for both."""

    def __init__(self, first: Part, cache: Part) -> None:
        self._first, self._cache = first, cache
        self._lines = {"stdout": Lines(), "stderr": Lines()}

    @property
    def blocked(self) -> Future[None] | None:
        return self._first.blocked or self._cache.blocked

    @property
    def written(self) -> int:
        return self._first.written

    @property
    def dropped(self) -> int:
        return self._first.dropped

    def write(self, stream: str, data: bytes, now: int) -> None:
        self._take(stream, self._lines[stream].feed(data, now), now)

    def end(self, stream: str, now: int) -> None:
        self._take(stream, self._lines[stream].end(now), now)

    def _take(self, stream: str, blocks: list[Block], now: int) -> None:
        self._first.take(stream, blocks, now)
        self._cache.take(stream, blocks, now)

    def pending(self, stream: str) -> bytes:
        return self._lines[stream].pending

    def replay(self) -> Replay | None:
        return self._cache.replay()

    def close(self) -> Future[None] | None:
        self._cache.close()
        return self._first.close()
