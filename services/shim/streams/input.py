"""A process's stdin: what all attached clients type, into a pipe or a terminal."""

import os
from collections.abc import Callable
from typing import Final

from services.shim.loop import Loop
from services.shim.streams.queue import Queue

_LIMIT: Final = 256 * 1024


class Input:
    """Closed at the caller's wish once everything has been written, or when the process reads no more."""

    def __init__(self, loop: Loop, fd: int, owned: bool, on_room: Callable[[], None]) -> None:
        """`owned` is a pipe, closed to end the input; a terminal is not ours to close."""
        self._loop, self._fd, self._owned = loop, fd, owned
        self._on_room = on_room
        self._closing = False
        self.closed = False
        self._queue = Queue(loop, fd, lambda parts: os.writev(fd, parts), self._room, self._close)

    @property
    def full(self) -> bool:
        return self._queue.size > _LIMIT

    def write(self, data: bytes) -> None:
        if not self._closing and not self.closed:
            self._queue.put(data)

    def end(self) -> None:
        """No more input comes."""
        self._closing = True
        if not self._queue.size:
            self._close()

    def close(self) -> None:
        """Now, whatever is still to be written."""
        self._close()

    def _room(self) -> None:
        if self._closing and not self._queue.size:
            self._close()
        elif not self.full:
            self._on_room()

    def _close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._queue.stop()
        if self._owned:
            self._loop.remove(self._fd)
            os.close(self._fd)
        self._on_room()
