"""Events to containerd (`Events.Forward`): queued, in order, retried until it took them, at least once.

Survives a docker-containerd that is gone for long; an event the server refuses for good is dropped after some tries.
The connection is closed when idle, so that a quiet container costs docker-containerd nothing.
"""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from google.protobuf import timestamp_pb2
from google.protobuf.message import Message

from protos import errdefs, typeurl
from protos.containerd.services.events.v1 import events_pb2
from protos.unary import Answer, Caller
from services.shim.loop import Future, Loop

log = logging.getLogger("publisher")

_PATH: Final = "/containerd.services.events.v1.Events/Forward"
_DEADLINE: Final = 10.0
_IDLE: Final = 10.0
_SHORTEST: Final = 0.05
_LONGEST: Final = 2.0
_TRIES: Final = 5
_FINAL: Final = (errdefs.InvalidArgument, errdefs.Unimplemented, errdefs.FailedPrecondition, errdefs.PermissionDenied)


class Publisher:
    def __init__(self, loop: Loop, address: str, namespace: str) -> None:
        self._loop = loop
        self._address = address.removeprefix("unix://")
        self._namespace = namespace
        self._queue: deque[tuple[str, bytes]] = deque()
        self._sock: socket.socket | None = None
        self._caller = Caller()
        self._stream: int | None = None
        self._out = b""
        self._timer: int | None = None
        self._delay = _SHORTEST
        self._refusals = 0
        self._drained: Future[None] | None = None

    def publish(self, topic: str, event: Message) -> None:
        """Queue an event, stamped now; never blocks."""
        now = time.time_ns()
        request = events_pb2.ForwardRequest()
        request.envelope.timestamp.CopyFrom(timestamp_pb2.Timestamp(seconds=now // 10**9, nanos=now % 10**9))
        request.envelope.namespace = self._namespace
        request.envelope.topic = topic
        request.envelope.event.CopyFrom(typeurl.from_message(event))
        self._queue.append((topic, request.SerializeToString()))
        if self._stream is None and (len(self._queue) == 1 or self._sock is not None):
            self._cancel_timer()
            self._loop.call_soon(self._pump)

    def drained(self) -> Future[None]:
        """Done once everything published so far was taken."""
        if self._drained is None or self._drained.done:
            self._drained = Future()
        if not self._queue:
            self._drained.set(None)
        return self._drained

    def close(self) -> None:
        self._cancel_timer()
        self._disconnect()

    # sending

    def _pump(self) -> None:
        if self._stream is not None:
            return
        if not self._queue:
            if self._drained is not None:
                self._drained.set(None)
            self._arm(_IDLE, self._disconnect)
            return
        try:
            self._connect()
            _, message = self._queue[0]
            self._stream = self._caller.call(
                _PATH, message, timeout=_DEADLINE, headers=[("containerd-namespace", self._namespace)]
            )
            self._arm(_DEADLINE + 1, lambda: self._lost("no answer in time"))
            self._writable()
        except (OSError, errdefs.Unavailable) as error:
            self._lost(str(error))

    def _connect(self) -> None:
        if self._sock is None:
            self._sock, self._caller, self._out = self._open(), Caller(), b""
            self._loop.add_reader(self._sock.fileno(), self._readable)

    def _open(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.connect(self._address)
        except OSError:
            sock.close()
            raise
        return sock

    def _writable(self) -> None:
        if self._sock is None:
            return
        self._out += self._caller.take()
        try:
            while self._out:
                self._out = self._out[self._sock.send(self._out):]
            self._loop.remove_writer(self._sock.fileno())
        except BlockingIOError:
            self._loop.add_writer(self._sock.fileno(), self._writable)
        except OSError as error:
            self._lost(os.strerror(error.errno or 0))

    def _readable(self) -> None:
        if self._sock is None:
            return
        try:
            data = self._sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for answer in self._caller.receive(data):
            self._answered(answer)
        if self._caller.closed:
            self._lost(self._caller.closed)
        else:
            self._writable()

    # outcomes

    def _answered(self, answer: Answer) -> None:
        if answer.stream != self._stream:
            return
        self._stream = None
        self._cancel_timer()
        try:
            answer.result()
        except _FINAL as error:
            self._refusals += 1
            if self._refusals < _TRIES:
                self._again(str(error))
                return
            log.error("event refused topic=%s error=%s", self._queue[0][0], error)
        except errdefs.EngineError as error:
            self._again(str(error))
            return
        self._queue.popleft()
        self._delay, self._refusals = _SHORTEST, 0
        self._loop.call_soon(self._pump)

    def _lost(self, reason: str) -> None:
        self._disconnect()
        if self._queue:
            self._again(reason)

    def _again(self, reason: str) -> None:
        log.debug("event waits queued=%d delay=%.2f reason=%s", len(self._queue), self._delay, reason)
        self._arm(self._delay, self._pump)
        self._delay = min(self._delay * 2, _LONGEST)

    def _disconnect(self) -> None:
        self._stream = None
        if self._sock is not None:
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()
            self._sock = None

    def _arm(self, seconds: float, callback: Callable[[], object]) -> None:
        self._cancel_timer()

        def due() -> None:
            self._timer = None
            callback()

        self._timer = self._loop.call_later(seconds, due)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._loop.cancel(self._timer)
            self._timer = None
