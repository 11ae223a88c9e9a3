"""A log driver whose sink is elsewhere: what it is given goes by a socket to a process of its own, which may hang.

The shim holds both ends of the socket. Should the process die, what it has not done with yet is still there for its
successor: nothing is lost, and the last packet may be sent twice. A container waits while the socket is full; with
`mode=non-blocking` the newest lines are dropped instead, once `max-buffer-size` waits for it, and counted.
"""

import errno
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from protos.errdefs import Unknown
from services.shim.linux import SO_PEEK_OFF
from services.shim.logger import packet
from services.shim.logger.lines import Block, Lines
from services.shim.logger.pieces import Pieces
from services.shim.loop import Future, Loop
from services.shim.reaper import Child

log = logging.getLogger("sink")

CLOSE_SECONDS: Final = 10.0
"""How long a sink may take for the rest, once the container has ended."""
_START_SECONDS: Final = 30.0
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 5.0


class Reaper(Protocol):
    def fork(self, body: Callable[[], None]) -> Child: ...

    def signal(self, pid: int, number: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class Limit:
    """What may wait before lines are dropped; `size` is -1 where the container waits instead."""

    size: int = -1
    records: int = 0
    """0 for any number."""


class Sink:
    """`serve` is run in the other process, with its end of the socket, and whether it is the first to do so."""

    def __init__(
        self, loop: Loop, reaper: Reaper, name: str, limit: Limit, serve: Callable[[socket.socket, bool], None]
    ) -> None:
        self.blocked: Future[None] | None = None
        self.written = self.dropped = 0
        self._loop, self._reaper, self._name, self._limit, self._serve = loop, reaper, name, limit, serve
        self._lines = {"stdout": Lines(), "stderr": Lines()}
        self._pieces = {"stdout": Pieces(), "stderr": Pieces()}
        self._waiting: deque[bytes] = deque()
        self._waits = self._waiting_records = 0
        self._full = self._failing = self._closing = self._refused = False
        self._delay = _FIRST_DELAY
        self._ready: Future[None] = Future()
        self._closed: Future[None] = Future()
        self._near, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._near.setblocking(False)
        self._near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * packet.LIMIT)
        self._loop.add_reader(self._near.fileno(), self._hear)
        self._child = self._start(first=True)

    async def ready(self) -> None:
        """Return once the sink is reached; Unknown with its reason where it cannot be."""
        try:
            await self._loop.timeout(self._ready, _START_SECONDS)
        except BaseException as error:
            self._give_up()
            if isinstance(error, TimeoutError):
                raise Unknown(f"failed to initialize logging driver: {self._name} does not answer") from error
            raise

    # the other process

    def _start(self, first: bool) -> Child:
        keep = self._far.fileno()

        def body() -> None:
            for low, high in ((3, keep), (keep + 1, os.sysconf("SC_OPEN_MAX"))):
                os.closerange(low, high)
            self._serve(self._far, first)

        child = self._reaper.fork(body)
        child.exit.when_done(self._died)
        return child

    def _died(self) -> None:
        with suppress(OSError):  # it may have been killed while peeks began elsewhere
            self._far.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, -1)
        if not self._ready.done:
            self._ready.fail(Unknown("failed to initialize logging driver: the log's process ended early"))
            return
        if self._refused or self._closed.done:
            return
        if self._closing and self._all_taken():
            self._finish()
            return
        log.warning("log process ended and is started again driver=%s pid=%d", self._name, self._child.pid)
        delay, self._delay = self._delay, min(self._delay * 2, _LONGEST_DELAY)
        self._loop.call_later(delay, self._again)

    def _again(self) -> None:
        if not self._closed.done:
            self._child = self._start(first=False)

    def _all_taken(self) -> bool:
        """Nothing waits here, and nothing in the socket."""
        try:
            return not self._waiting and self._far.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return not self._waiting
        except OSError:
            return True

    def _hear(self) -> None:
        try:
            word = self._near.recv(4096)
        except BlockingIOError:
            return
        if word.startswith(packet.READY):
            self._delay = _FIRST_DELAY
            self._ready.set(None)
            if self._failing:
                self._failing = False
                log.warning("log is taken again driver=%s dropped=%d", self._name, self.dropped)
        elif word.startswith(packet.FAILED):
            self._not_reached(word[1:].decode(errors="replace"))
        elif word.startswith(packet.LOST):
            number, _, reason = word[1:].partition(b" ")
            self._lost(int(number), reason.decode(errors="replace"))

    def _not_reached(self, reason: str) -> None:
        if self._ready.done:
            self._lost(0, reason)
            return
        self._refused = True
        self._ready.fail(Unknown(f"failed to initialize logging driver: {reason}"))

    def _lost(self, number: int, reason: str) -> None:
        self.dropped += number
        self.written -= number
        if not self._failing:
            self._failing = True
            log.error("log is not taken, lines are dropped driver=%s error=%s", self._name, reason)

    # what comes

    def write(self, stream: str, data: bytes, now: int) -> None:
        self.take(stream, self._lines[stream].feed(data, now), now)

    def end(self, stream: str, now: int) -> None:
        self.take(stream, self._lines[stream].end(now), now)

    def pending(self, stream: str) -> bytes:
        return self._lines[stream].pending

    def take(self, stream: str, blocks: list[Block], now: int) -> None:
        """Log what was cut into lines already."""
        for block in blocks:
            self._put(packet.pack(stream, block, self._pieces[stream].next(block)))
        if self._limit.size < 0 and self._waiting:
            self.blocked = self.blocked or Future()

    def _put(self, data: bytes) -> None:
        if not self._waiting and self._send(data):
            self.written += packet.records(data)
            return
        kept = data if self._limit.size < 0 or not self._waiting else self._fitting(data)
        if kept:
            self.written += packet.records(kept)
            self._waits += packet.size(kept)
            self._waiting_records += packet.records(kept)
            self._waiting.append(kept)
            self._loop.add_writer(self._near.fileno(), self._flush)
        if len(kept) < len(data):
            self._overflow(packet.records(data) - (packet.records(kept) if kept else 0))

    def _fitting(self, data: bytes) -> bytes:
        """Of the newest lines those that there is room for; all of a driver's own limit counts records."""
        if self._limit.records and self._waiting_records + packet.records(data) > self._limit.records:
            return b""
        return packet.shorten(data, self._limit.size - self._waits)

    def _overflow(self, number: int) -> None:
        self.dropped += number
        if not self._full:
            self._full = True
            log.warning("log sink does not keep up, the newest lines are dropped driver=%s", self._name)

    def _send(self, data: bytes) -> bool:
        try:
            self._near.send(data)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                self._lost(packet.records(data), str(error))
                return True
            return False
        return True

    def _flush(self) -> None:
        while self._waiting and self._send(self._waiting[0]):
            sent = self._waiting.popleft()
            self._waits -= packet.size(sent)
            self._waiting_records -= packet.records(sent)
        if self._waiting:
            return
        self._loop.remove_writer(self._near.fileno())
        if self._full:
            self._full = False
            log.warning("log sink keeps up again driver=%s dropped=%d", self._name, self.dropped)
        if self._closing:
            self._near.shutdown(socket.SHUT_WR)
        blocked, self.blocked = self.blocked, None
        if blocked is not None:
            blocked.set(None)

    # the end

    def replay(self) -> None:
        return None

    def close(self) -> Future[None]:
        """Done once the sink has everything, or has had its time."""
        if not self._closing and not self._closed.done:
            self._closing = True
            if self.dropped or self._waiting:  # said now: of a container that is removed nobody takes the shim's log
                self._tell("log ends")
            self._loop.call_later(CLOSE_SECONDS, self._give_up)
            if not self._waiting:
                self._near.shutdown(socket.SHUT_WR)
        return self._closed

    def _give_up(self) -> None:
        if self._closed.done:
            return
        self._reaper.signal(self._child.pid, signal.SIGKILL)
        if self._closing:
            reason = f"not taken within {CLOSE_SECONDS:.0f} s of the container's end"
            self._lost(self._waiting_records + self._left(), reason)
            self._waiting_records = 0
        self._finish()

    def _left(self) -> int:
        """Records in the socket that nobody will take."""
        left = 0
        with suppress(OSError):
            while data := self._far.recv(packet.LIMIT, socket.MSG_DONTWAIT):
                left += packet.records(data)
        return left

    def _finish(self) -> None:
        if self._closed.done:
            return
        while self._near.fileno() >= 0 and self._pending_word():
            self._hear()
        self._loop.remove(self._near.fileno())
        self._near.close()
        self._far.close()
        if self.dropped:
            self._tell("log ended")
        blocked, self.blocked = self.blocked, None
        self._closed.set(None)
        if blocked is not None:
            blocked.set(None)

    def _tell(self, what: str) -> None:
        waiting = self._waiting_records
        log.warning("%s driver=%s written=%d dropped=%d waiting=%d", what, self._name, self.written - waiting,
                    self.dropped, waiting)

    def _pending_word(self) -> bool:
        try:
            return bool(self._near.recv(1, socket.MSG_PEEK))
        except OSError:
            return False
