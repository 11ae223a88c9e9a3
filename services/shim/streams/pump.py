"""Bytes from one descriptor to another, never blocking: by splice between pipes, by read and write otherwise."""

import os
from collections.abc import Callable
from typing import Final

from services.shim import linux
from services.shim.loop import Loop

_SPLICE_F_MOVE: Final = 1
_SPLICE_F_NONBLOCK: Final = 2
_CHUNK: Final = 64 * 1024


class Pump:
    """Copies until the source ends or the target is gone, then calls `on_end` once. It closes nothing.

    Both descriptors are non-blocking, or the target is a file. A target that is full stops the source.
    """

    def __init__(self, loop: Loop, source: int, target: int, on_end: Callable[[], None], splice: bool) -> None:
        self._loop = loop
        self._source, self._target = source, target
        self._on_end = on_end
        self._move = self._splice if splice else self._copy
        self._pending = memoryview(b"")
        self._waiting_for_target = False
        self.ended = False

    def start(self) -> None:
        self._loop.add_reader(self._source, self._ready)

    def finish(self) -> None:
        """Take what is there and wait for no more."""
        if not self.ended:
            self._ready()
            self._end()

    def stop(self) -> None:
        """End without calling back."""
        if not self.ended:
            self.ended = True
            self._loop.remove_reader(self._source)
            if self._waiting_for_target:
                self._loop.remove_writer(self._target)

    def _end(self) -> None:
        if not self.ended:
            self.stop()
            self._on_end()

    def _ready(self) -> None:
        try:
            for _ in range(16):  # other descriptors want their turn too
                if self.ended or not self._move():
                    return
        except OSError:  # EIO: nobody has the terminal open any more; EPIPE: nobody reads
            self._end()

    def _splice(self) -> bool:
        """Move some; False where there is nothing to do now."""
        try:
            moved = os.splice(self._source, self._target, 1 << 20, flags=_SPLICE_F_MOVE | _SPLICE_F_NONBLOCK)
        except BlockingIOError:
            self._wait_for(target=linux.bytes_pending(self._source) > 0)
            return False
        if moved == 0:
            self._end()
        return moved > 0

    def _copy(self) -> bool:
        if not self._pending:
            try:
                data = os.read(self._source, _CHUNK)
            except BlockingIOError:
                self._wait_for(target=False)
                return False
            if not data:
                self._end()
                return False
            self._pending = memoryview(data)
        try:
            self._pending = self._pending[os.write(self._target, self._pending) :]
        except BlockingIOError:
            self._wait_for(target=True)
            return False
        return True

    def _wait_for(self, target: bool) -> None:
        if target == self._waiting_for_target:
            return
        self._waiting_for_target = target
        if target:
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._target, self._ready)
        else:
            self._loop.remove_writer(self._target)
            self._loop.add_reader(self._source, self._ready)
