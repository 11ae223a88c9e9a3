"""Bytes on their way out of a descriptor that may be full: sent at once where possible, otherwise kept and counted."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Final

from services.shim.loop import Loop

Send = Callable[[list[bytes | memoryview]], int]
_BATCH: Final = 256


class Queue:
    """`send` is a gathering write, raising BlockingIOError when full; any other OSError ends it: `on_broken`, once."""

    def __init__(
        self, loop: Loop, fd: int, send: Send, on_room: Callable[[], None], on_broken: Callable[[], None]
    ) -> None:
        self._loop, self._fd, self._send = loop, fd, send
        self._on_room, self._on_broken = on_room, on_broken
        self._parts: deque[bytes | memoryview] = deque()
        self._broken = False
        self.size = 0

    def put(self, *parts: bytes) -> None:
        if self._broken:
            return
        was_empty = not self._parts
        self._parts.extend(part for part in parts if part)
        self.size += sum(map(len, parts))
        if was_empty and self._parts:
            self._flush()
            if self._parts:
                self._loop.add_writer(self._fd, self._writable)

    def stop(self) -> None:
        """Forget what is left."""
        if self._parts:
            self._loop.remove_writer(self._fd)
        self._parts.clear()
        self.size = 0
        self._broken = True

    def _writable(self) -> None:
        self._flush()
        if not self._broken:
            if not self._parts:
                self._loop.remove_writer(self._fd)
            self._on_room()

    def _flush(self) -> None:
        try:
            with suppress(BlockingIOError):
                while self._parts:
                    self._sent(self._send(list(islice(self._parts, _BATCH))))
        except OSError:
            self.stop()
            self._on_broken()

    def _sent(self, count: int) -> None:
        self.size -= count
        while count:
            first = self._parts[0]
            if count < len(first):
                self._parts[0] = memoryview(first)[count:]
                return
            count -= len(first)
            self._parts.popleft()
