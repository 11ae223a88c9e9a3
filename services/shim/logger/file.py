"""A log in files: whole records per write, turned over at `max-size` into `.1`, `.2` and so on, or `.1.gz`.

A record goes into the file that is not full yet, as Docker does it: a file ends with the record that fills it. Nothing
here fails: what the disk does not take is dropped, counted, and the next record is tried again.
"""

import errno
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from services.shim.logger.compress import compress
from services.shim.logger.driver import Background, Record
from services.shim.logger.jsonline import stamp
from services.shim.logger.lines import Block, Lines
from services.shim.logger.options import Options
from services.shim.logger.replay import FileReplay
from services.shim.loop import Future

log = logging.getLogger("logfile")

_MODE: Final = 0o640


class Format(Protocol):
    """How records look in the file. Positions are those of bytes in `data`, which begins with a record."""

    def encode(self, stream: str, blocks: list[Block]) -> bytes: ...

    def end(self, data: bytes, start: int, room: int) -> int:
        """The end of the record, of those from `start` on, that fills `room`; the end of all if none does."""

    def count(self, data: bytes) -> int: ...

    def whole(self, data: bytes, done: int) -> int:
        """Where the last record ends that is all within the first `done` bytes."""

    def decode(self, data: bytes) -> tuple[list[Record], bytes]:
        """Records, and the beginning of one that is unfinished."""


class LogFile:
    """`generation` counts the files begun: `.1` is one before the current."""

    def __init__(self, path: str, options: Options, layout: Format, background: Background) -> None:
        self.path, self.options, self.layout = path, options, layout
        self.blocked: Future[None] | None = None
        self.written = self.dropped = 0
        self.generation = 0
        self._background = background
        self._lines = {"stdout": Lines(), "stderr": Lines()}
        self._held: list[bytes] = []
        self._compressing = False
        self._failing = False
        self._last = 0
        self._fd = _opened(path)
        self._size = os.fstat(self._fd).st_size

    # what comes

    def write(self, stream: str, data: bytes, now: int) -> None:
        self.take(stream, self._lines[stream].feed(data, now), now)

    def end(self, stream: str, now: int) -> None:
        self.take(stream, self._lines[stream].end(now), now)

    def pending(self, stream: str) -> bytes:
        return self._lines[stream].pending

    def take(self, stream: str, blocks: list[Block], now: int) -> None:
        """Log what was cut into lines already."""
        if blocks:
            self._last = now
            self._append(self.layout.encode(stream, blocks))

    # what is written

    def _append(self, data: bytes) -> None:
        if self._held:
            self._hold(data)
            return
        limit = self.options.max_size
        if limit <= 0:
            self._put(data)
            return
        start = 0
        while start < len(data):
            if self._size >= limit and not self._turn_over():
                self._hold(data[start:])
                return
            end = self.layout.end(data, start, limit - self._size)
            self._put(data[start:end])
            start = end

    def _hold(self, data: bytes) -> None:
        limit = self.options.buffer
        if limit >= 0 and sum(map(len, self._held)) + len(data) > limit:
            self._drop(data, OSError(errno.EAGAIN, "the buffer is full"))
            return
        self._held.append(data)
        if limit < 0:
            self.blocked = self.blocked or Future()

    def _put(self, data: bytes) -> None:
        """Write records; of what the disk does not take, no torn one stays behind."""
        try:
            done = os.write(self._fd, data)
        except OSError as error:
            self._drop(data, error)
            return
        if done < len(data):
            whole = self.layout.whole(data, done)
            self._cut(done - whole)
            self._drop(data[whole:], OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
            data, done = data[:whole], whole
        elif self._failing:
            self._failing = False
            log.warning("log is written again path=%s dropped=%d", self.path, self.dropped)
        self._size += done
        self.written += self.layout.count(data)

    def _cut(self, length: int) -> None:
        with suppress(OSError):
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - length)

    def _drop(self, data: bytes, error: OSError) -> None:
        self.dropped += self.layout.count(data)
        if not self._failing:
            self._failing = True
            log.error("log cannot be written, lines are dropped path=%s error=%s", self.path, error)

    # files

    def _turn_over(self) -> bool:
        """Begin a new file; False while the one before is being compressed."""
        if self._compressing:
            return False
        try:
            self._shift()
            fd = _opened(self.path)
        except OSError as error:
            log.error("log cannot be turned over path=%s error=%s", self.path, error)
            self._size = 0  # tried again when as much has been written
            return True
        os.close(self._fd)
        self._fd, self._size = fd, 0
        self.generation += 1
        if self.options.compress:
            self._compress()
        return True

    def _shift(self) -> None:
        oldest = self.options.max_files - 1
        if oldest == 0:
            Path(self.path).unlink(missing_ok=True)  # not emptied: somebody may still be reading it
        for number in range(oldest, 0, -1):
            for kind in ("", ".gz"):  # both may be there: a compression that was cut short leaves the plain one
                older = Path(f"{self.path}.{number}{kind}")
                if number == oldest:
                    older.unlink(missing_ok=True)
                with suppress(FileNotFoundError):
                    Path(f"{self.path}.{number - 1}{kind}" if number > 1 else self.path).rename(older)
                if number == 1:
                    break

    def _compress(self) -> None:
        path, last = Path(self.path + ".1"), stamp(self._last).decode()
        self._compressing = True
        self._background(lambda: compress(path, last)).when_done(self._compressed)

    def _compressed(self) -> None:
        self._compressing = False
        self._release()

    def _release(self) -> None:
        blocked, self.blocked = self.blocked, None
        held, self._held = self._held, []
        for data in held:
            self._append(data)
        if blocked is not None:
            blocked.set(None)

    def replay(self) -> FileReplay:
        return FileReplay(self)

    def close(self) -> None:
        if self._fd < 0:
            return
        self.options = Options(max_size=-1, max_files=self.options.max_files, compress=False)
        self._release()
        os.close(self._fd)
        self._fd = -1


def _opened(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
