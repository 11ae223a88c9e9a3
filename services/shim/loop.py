"""One thread, one selector: the event loop a shim lives on, and coroutines over it.

Stands in for asyncio, which costs a shim several megabytes; the part of it that a shim needs is this file.
Nothing here knows of processes, HTTP/2 or logs. Not thread-safe, and nothing may block in it.
"""

import heapq
import itertools
import logging
import selectors
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

log = logging.getLogger("loop")
T = TypeVar("T")
Callback = Callable[[], object]


class Future(Generic[T]):
    """A value that arrives once; awaiting it more than once is fine."""

    __slots__ = ("_callbacks", "_error", "_value", "done")

    def __init__(self) -> None:
        self.done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callback] = []

    def set(self, value: T) -> None:
        self._finish(value, None)

    def fail(self, error: BaseException) -> None:
        self._finish(None, error)

    def _finish(self, value: T | None, error: BaseException | None) -> None:
        if self.done:
            return
        self.done, self._value, self._error = True, value, error
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def when_done(self, callback: Callback) -> None:
        """Call back once done, at once if it is."""
        if self.done:
            callback()
        else:
            self._callbacks.append(callback)

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def __await__(self) -> Generator["Future[T]", None, T]:
        if not self.done:
            yield self
        return self.result()


class Loop:
    """Callbacks on descriptors and at times; coroutines by `spawn`."""

    def __init__(self) -> None:
        self._selector = selectors.EpollSelector()
        self._ready: deque[Callback] = deque()
        self._timers: list[tuple[float, int, Callback]] = []
        self._cancelled: set[int] = set()
        self._numbers = itertools.count()
        self._running = False

    # descriptors

    def add_reader(self, fd: int, callback: Callback) -> None:
        self._change(fd, selectors.EVENT_READ, callback)

    def add_writer(self, fd: int, callback: Callback) -> None:
        self._change(fd, selectors.EVENT_WRITE, callback)

    def remove_reader(self, fd: int) -> None:
        self._change(fd, selectors.EVENT_READ, None)

    def remove_writer(self, fd: int) -> None:
        self._change(fd, selectors.EVENT_WRITE, None)

    def _change(self, fd: int, event: int, callback: Callback | None) -> None:
        key = self._selector.get_map().get(fd)
        callbacks: dict[int, Callback] = dict(key.data) if key else {}
        callbacks.pop(event, None)
        if callback is not None:
            callbacks[event] = callback
        events = 0
        for each in callbacks:
            events |= each
        if key and callbacks:
            self._selector.modify(fd, events, callbacks)
        elif key:
            self._selector.unregister(fd)
        elif callbacks:
            self._selector.register(fd, events, callbacks)

    # time

    def call_soon(self, callback: Callback) -> None:
        self._ready.append(callback)

    def call_later(self, seconds: float, callback: Callback) -> int:
        """Run `callback` after `seconds`; the number returned cancels it."""
        number = next(self._numbers)
        heapq.heappush(self._timers, (time.monotonic() + seconds, number, callback))
        return number

    def cancel(self, number: int) -> None:
        self._cancelled.add(number)

    async def sleep(self, seconds: float) -> None:
        future: Future[None] = Future()
        self.call_later(seconds, lambda: future.set(None))
        await future

    # coroutines

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine; its value or error arrives in the Future. An error nobody awaits is logged by the caller."""
        future: Future[T] = Future()
        self.call_soon(lambda: self._step(coroutine, future))
        return future

    def _step(self, coroutine: Coroutine[Any, Any, T], future: Future[T]) -> None:
        try:
            waiting = coroutine.send(None)
        except StopIteration as stop:
            future.set(stop.value)
        except BaseException as error:
            future.fail(error)
        else:
            waiting.when_done(lambda: self.call_soon(lambda: self._step(coroutine, future)))

    async def timeout(self, awaitable: Awaitable[T], seconds: float) -> T:
        """Await with a limit; TimeoutError after `seconds`. What was awaited goes on."""

        async def wrap() -> T:
            return await awaitable

        future = self.spawn(wrap())
        timer = self.call_later(seconds, lambda: future.fail(TimeoutError(f"not done in {seconds:g} s")))
        try:
            return await future
        finally:
            self.cancel(timer)

    # life

    def run(self) -> None:
        """Run until `stop`."""
        self._running = True
        while self._running:
            self._turn()

    def run_until(self, future: Future[T]) -> T:
        """Run until `future` is done, for start-up phases and tests."""
        while not future.done:
            self._turn()
        return future.result()

    def stop(self) -> None:
        self._running = False

    def close(self) -> None:
        self._selector.close()

    def _turn(self) -> None:
        for key, events in self._selector.select(self._patience()):
            for event, callback in list(key.data.items()):
                if events & event:
                    self._guard(callback)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, number, callback = heapq.heappop(self._timers)
            if number in self._cancelled:
                self._cancelled.discard(number)
            else:
                self._guard(callback)
        for _ in range(len(self._ready)):
            self._guard(self._ready.popleft())

    def _patience(self) -> float | None:
        if self._ready:
            return 0
        if self._timers:
            return max(0.0, self._timers[0][0] - time.monotonic())
        return None

    @staticmethod
    def _guard(callback: Callback) -> None:
        try:
            callback()
        except Exception:
            log.exception("callback failed")
