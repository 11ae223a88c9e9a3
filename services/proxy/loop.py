"""The proxy's event loop: descriptors and a few timers over one epoll, level-triggered.

A handler may be called for an event that no longer stands (its descriptor's number was used again within one turn), so
each of them takes "would block" for an answer.
"""

import heapq
import itertools
import os
import select
import sys
import time
from collections.abc import Callable
from select import EPOLLIN, EPOLLOUT
from typing import Final

Handler = Callable[[int], None]
"""Called with the events that happened, as epoll's bits."""

IN: Final = EPOLLIN
OUT: Final = EPOLLOUT


class Loop:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._running = False
        self._rest: Callable[[int, float | None], None] | None = None

    def add(self, descriptor: int, events: int, handler: Handler) -> None:
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, events)

    def modify(self, descriptor: int, events: int) -> None:
        self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Before its close, always: the number may come back at once."""
        del self._handlers[descriptor]
        self._epoll.unregister(descriptor)

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), callback))

    def rest(self, callback: Callable[[int, float | None], None]) -> None:
        """Have `callback` do the next wait: until the epoll descriptor is readable, or so many seconds have passed."""
        self._rest = callback

    def run(self) -> None:
        """Until `stop`."""
        self._running = True
        poll, handlers = self._epoll.poll, self._handlers
        while self._running:
            patience = self._patience() if self._timers else None
            found = poll(0 if self._rest else patience)
            if self._rest and not found:
                rest, self._rest = self._rest, None
                rest(self._epoll.fileno(), patience)
                found = poll(0)
            for descriptor, events in found:
                handler = handlers.get(descriptor)
                if handler:
                    try:
                        handler(events)
                    except Exception:
                        import traceback  # half a megabyte that nobody should ever need

                        report(f"descriptor {descriptor}: {traceback.format_exc()}")
            if self._timers:
                self._expire()

    def stop(self) -> None:
        self._running = False

    def close(self) -> None:
        self._epoll.close()

    def _patience(self) -> float:
        return max(0.0, self._timers[0][0] - time.monotonic())

    def _expire(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()


def report(message: str) -> None:
    """A line on stderr; `logging` would cost every proxy half a megabyte."""
    try:
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"docker-proxy: {message}\n".encode())
    except OSError:
        pass
