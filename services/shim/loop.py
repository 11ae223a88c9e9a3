"""One thread, one epoll: the event loop a shim lives on, and coroutines over it.

Stands in for asyncio, which costs a shim several megabytes; the part of it that a shim needs is this file.
Nothing here knows of processes, HTTP/2 or logs. Not thread-safe, and nothing may block in it.
Made after the fork from a zygote: it owns an epoll descriptor and the process's signal wake-up.
"""

import contextvars
import heapq
import itertools
import logging
import os
import select
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Final, Generic, TypeVar

log = logging.getLogger("loop")
T = TypeVar("T")
Callback = Callable[[], object]

_READ: Final = select.EPOLLIN
_WRITE: Final = select.EPOLLOUT
_HANGUP: Final = select.EPOLLHUP | select.EPOLLERR  # the kernel reports these whatever was asked for


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


class Lock:
    """One coroutine at a time, in the order they came: `async with lock`."""

    __slots__ = ("_held", "_waiting")

    def __init__(self) -> None:
        self._held = False
        self._waiting: deque[Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._held:
            turn: Future[None] = Future()
            self._waiting.append(turn)
            await turn
        self._held = True

    async def __aexit__(self, *_: object) -> None:
        if self._waiting:
            self._waiting.popleft().set(None)  # stays held: it passes on
        else:
            self._held = False


class Loop:
    """Callbacks on descriptors, at times and on signals; coroutines by `spawn`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watches: dict[int, dict[int, Callback]] = {}
        self._ready: deque[Callback] = deque()
        self._heap: list[tuple[float, int]] = []
        self._timers: dict[int, Callback] = {}
        self._numbers = itertools.count(1)
        self._signals: dict[int, Callback] = {}
        self._wake: tuple[int, int] | None = None
        self._running = False
        self._rest: Callable[[int, float | None], object] | None = None

    # descriptors

    def add_reader(self, fd: int, callback: Callback) -> None:
        self._change(fd, _READ, callback)

    def add_writer(self, fd: int, callback: Callback) -> None:
        self._change(fd, _WRITE, callback)

    def add_hangup(self, fd: int, callback: Callback) -> None:
        """Call back when the other side is gone for good; a half-close is not that."""
        self._change(fd, _HANGUP, callback)

    def remove_reader(self, fd: int) -> None:
        self._change(fd, _READ, None)

    def remove_writer(self, fd: int) -> None:
        self._change(fd, _WRITE, None)

    def remove(self, fd: int) -> None:
        """Forget the descriptor; to be called before it is closed."""
        if self._watches.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _change(self, fd: int, event: int, callback: Callback | None) -> None:
        known = self._watches.get(fd)
        watch = dict(known) if known else {}
        if callback is not None:
            watch[event] = callback
        elif watch.pop(event, None) is None:
            return
        if not watch:
            self.remove(fd)
            return
        if known is None:
            self._epoll.register(fd, _mask(watch))
        elif known.keys() != watch.keys():
            self._epoll.modify(fd, _mask(watch))
        self._watches[fd] = watch

    # signals

    def on_signal(self, number: int, callback: Callback) -> None:
        """Call back in the loop when the signal arrives; several of one kind may be reported once."""
        if self._wake is None:
            self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
            self.add_reader(self._wake[0], self._signalled)
        self._signals[number] = callback
        signal.signal(number, _noted)

    def _signalled(self) -> None:
        if self._wake is None:
            return
        for number in set(os.read(self._wake[0], 4096)):
            callback = self._signals.get(number)
            if callback is not None:
                self._guard(callback)

    # time

    def call_soon(self, callback: Callback) -> None:
        self._ready.append(callback)

    def call_later(self, seconds: float, callback: Callback) -> int:
        """Run `callback` after `seconds`; the number returned cancels it."""
        number = next(self._numbers)
        self._timers[number] = callback
        heapq.heappush(self._heap, (time.monotonic() + seconds, number))
        return number

    def cancel(self, number: int) -> None:
        """Forget a timer; one that has fired, or was cancelled, is nothing to cancel."""
        self._timers.pop(number, None)

    async def sleep(self, seconds: float) -> None:
        future: Future[None] = Future()
        self.call_later(seconds, lambda: future.set(None))
        await future

    # coroutines

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine, in a copy of the context; its value or error arrives in the Future. The caller logs an error
        that nobody awaits."""
        future: Future[T] = Future()
        context = contextvars.copy_context()
        self.call_soon(lambda: self._step(coroutine, future, context))
        return future

    def _step(self, coroutine: Coroutine[Any, Any, T], future: Future[T], context: contextvars.Context) -> None:
        try:
            waiting = context.run(coroutine.send, None)
        except StopIteration as stop:
            future.set(stop.value)
        except BaseException as error:
            future.fail(error)
        else:
            waiting.when_done(lambda: self.call_soon(lambda: self._step(coroutine, future, context)))

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

    def rest(self, callback: Callable[[int, float | None], object]) -> None:
        """Have `callback` do the next wait: until the epoll descriptor is readable, or so many seconds have passed."""
        self._rest = callback

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
        """Give back descriptors and signals; nothing runs any more."""
        if self._wake is not None:
            signal.set_wakeup_fd(-1)
            for number in self._signals:
                signal.signal(number, signal.SIG_DFL)
            for fd in self._wake:
                os.close(fd)
            self._wake = None
        self._watches.clear()
        self._epoll.close()

    def _turn(self) -> None:
        patience = self._patience()
        found = self._epoll.poll(0 if self._rest else patience)
        if self._rest is not None and patience != 0 and not found:
            rest, self._rest = self._rest, None
            rest(self._epoll.fileno(), patience)
            found = self._epoll.poll(0)
        for fd, events in found:
            self._dispatch(fd, events)
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now:
            callback = self._timers.pop(heapq.heappop(self._heap)[1], None)
            if callback is not None:
                self._guard(callback)
        for _ in range(len(self._ready)):
            self._guard(self._ready.popleft())

    def _dispatch(self, fd: int, events: int) -> None:
        # Looked up for each: a callback may have removed the descriptor or another of its callbacks.
        gone = events & _HANGUP
        if gone and _HANGUP in self._watches.get(fd, ()):
            self._guard(self._watches[fd][_HANGUP])
        if (gone or events & _READ) and _READ in self._watches.get(fd, ()):
            self._guard(self._watches[fd][_READ])
        if (gone or events & _WRITE) and _WRITE in self._watches.get(fd, ()):
            self._guard(self._watches[fd][_WRITE])

    def _patience(self) -> float | None:
        if self._ready:
            return 0
        while self._heap and self._heap[0][1] not in self._timers:
            heapq.heappop(self._heap)
        if self._heap:
            return max(0.0, self._heap[0][0] - time.monotonic())
        return None

    @staticmethod
    def _guard(callback: Callback) -> None:
        try:
            callback()
        except Exception:
            log.exception("callback failed")


def _mask(watch: dict[int, Callback]) -> int:
    events = 0
    for each in watch:
        events |= each
    return events


def _noted(_number: int, _frame: object) -> None:
    """A handler in Python is what makes the interpreter write to the wake-up descriptor."""
