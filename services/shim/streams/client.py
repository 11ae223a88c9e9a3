"""A client attached to a process: its output to the client's own socket, and what the client types back.

A client that ends its side ends the process's input where `stdin_once` says so; otherwise it has left, as with Docker.
"""

import socket
from contextlib import suppress
from typing import Final, Protocol

from protos.streams.v1 import streams_pb2
from services.shim.logger.driver import Driver, Replay
from services.shim.loop import Loop
from services.shim.streams.control import Connection
from services.shim.streams.input import Input
from services.shim.streams.keys import DetachKeys
from services.shim.streams.queue import Queue
from services.shim.streams.stdcopy import header

LIMIT: Final = 1 << 20
"""What may wait for a client before the container has to; Docker's figure."""
_CHUNK: Final = 64 * 1024
_FLAGS: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_LINGER_SECONDS: Final = 1.0
_STREAMS: Final = ("stdout", "stderr")


class Host(Protocol):
    """What a client needs of the owner."""

    driver: Driver
    input: Input | None
    input_ends_with_client: bool
    tty: bool

    def client_has_room(self) -> None: ...

    def client_left(self, client: "Client") -> None: ...


class Client:
    def __init__(
        self, loop: Loop, host: Host, sock: socket.socket, attach: streams_pb2.Attach, caller: Connection
    ) -> None:
        self._loop, self._host, self._socket, self._attach, self._caller = loop, host, sock, attach, caller
        self._fd = sock.fileno()
        self._wants = {"stdout": attach.stdout, "stderr": attach.stderr}
        self._keys = DetachKeys(attach.detach_keys if host.tty else b"")
        self._queue = Queue(loop, self._fd, self._send, self._room, self._broken)
        self._replay: Replay | None = host.driver.replay() if attach.logs else None
        self._reading = self._input_ended = False
        self._reason: streams_pb2.Reason.ValueType | None = None
        self._left = self._closed = False
        loop.add_hangup(self._fd, self._broken)

    @property
    def full(self) -> bool:
        return self._queue.size > LIMIT

    def begin(self) -> None:
        if self._replay is not None:
            self._replay_some()
        elif not self._attach.stream:
            self.finish(streams_pb2.EXITED)
        if self._attach.stdin and self._attach.stream and self._host.input is not None:
            if self._attach.unread:
                self._typed(self._attach.unread)
            self.resume_input()

    # to the client

    def output(self, stream: str, data: bytes) -> None:
        if self._replay is None and self._reason is None:
            self._give(stream, data)

    def _give(self, stream: str, data: bytes) -> None:
        if not data or not self._wants[stream]:
            return
        if self._attach.multiplexed:
            self._queue.put(header(stream, len(data)), data)
        else:
            self._queue.put(data)

    def _send(self, parts: list[bytes | memoryview]) -> int:
        return self._socket.sendmsg(parts, (), _FLAGS)

    def _room(self) -> None:
        if self._replay is not None:
            if not self.full:
                self._replay_some()
        elif self._reason is not None:
            self._end_output()
        elif not self.full:
            self._host.client_has_room()

    def _replay_some(self) -> None:
        """Some records of the log in a turn of the loop; then on from where the log is at."""
        if self._replay is None or self._closed or self.full:
            return
        records = self._replay.read()
        if records is not None:
            for stream, data in records:
                self._give(stream, data)
            self._loop.call_soon(self._replay_some)
            return
        if self._host.driver.blocked is not None:  # lines are held back that the log does not have yet
            self._host.driver.blocked.when_done(self._replay_some)
            return
        for stream in _STREAMS:
            self._give(stream, self._host.driver.pending(stream))
        self._replay.close()
        self._replay = None
        if not self._attach.stream and self._reason is None:
            self._reason = streams_pb2.EXITED
        self._end_output()

    def finish(self, reason: "streams_pb2.Reason.ValueType") -> None:
        """No more output comes: pass on what there is, then end."""
        if self._reason is None:
            self._reason = reason
            self._stop_reading()
            self._end_output()

    def _end_output(self) -> None:
        if self._reason is None or self._replay is not None or self._queue.size or self._left:
            return
        self._leave(self._reason)  # before the client sees the end: dockerd knows it by the client's next request
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._linger()

    # from the client

    def resume_input(self) -> None:
        ready = self._host.input is not None and not self._host.input.full and not self._host.input.closed
        wanted = self._attach.stdin and self._attach.stream and not self._input_ended and self._reason is None
        if ready and wanted and not self._reading:
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            self._broken()
            return
        if data:
            self._typed(data)
        else:
            self._client_ended_input()

    def _typed(self, data: bytes) -> None:
        given, detached = self._keys.feed(data)
        if self._host.input is not None:
            self._host.input.write(given)
            if self._host.input.full or self._host.input.closed:
                self._stop_reading()
        if detached:
            self.finish(streams_pb2.DETACHED)

    def _client_ended_input(self) -> None:
        self._end_input()
        if not self._host.input_ends_with_client or self._host.input is None:
            self.finish(streams_pb2.CLIENT_GONE)

    def _end_input(self) -> None:
        self._input_ended = True
        self._stop_reading()
        if self._host.input is not None:
            self._host.input.write(self._keys.rest())
            if self._host.input_ends_with_client:
                self._host.input.end()

    # the end

    def give_back(self) -> None:
        """The process never ran: let go without ending the stream, so that dockerd can still say why."""
        self._leave(streams_pb2.EXITED)
        self._close()

    def _broken(self) -> None:
        """The client is gone for good; what it has sent before counts."""
        if self._attach.stdin and self._attach.stream and not self._input_ended and self._reason is None:
            with suppress(OSError):
                while data := self._socket.recv(_CHUNK, socket.MSG_DONTWAIT):
                    self._typed(data)
            self._end_input()
        self._leave(streams_pb2.CLIENT_GONE)
        self._close()

    def _leave(self, reason: "streams_pb2.Reason.ValueType") -> None:
        if not self._left:
            self._left = True
            self._reason = reason
            self._caller.reply(streams_pb2.Reply(ended=streams_pb2.Ended(reason=reason)), last=True)
            self._host.client_has_room()

    def _linger(self) -> None:
        """Read on for a moment: closed with input unread, the socket would lose output that the client has not read."""
        if self._input_ended or self._closed:
            self._close()
            return
        self._loop.add_reader(self._fd, self._discard)
        self._loop.call_later(_LINGER_SECONDS, self._close)

    def _discard(self) -> None:
        with suppress(BlockingIOError):
            try:
                if self._socket.recv(_CHUNK, socket.MSG_DONTWAIT):
                    return
            except BlockingIOError:
                return
            except OSError:
                pass
            self._close()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._queue.stop()
        if self._replay is not None:
            self._replay.close()
        self._loop.remove(self._fd)
        self._socket.close()
        self._host.client_left(self)
