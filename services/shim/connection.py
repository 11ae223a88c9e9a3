"""One client of the shim's gRPC server: its HTTP/2 connection over the `h2` library, and its calls.

A handler raises classes of `protos.errdefs`; only here do they become statuses.
"""

import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError, Message
from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hyperframe.frame import GoAwayFrame

from protos import errdefs
from protos.unary import Headers, Wire, pack, parse_timeout, quote, unpack
from services.shim.log import request_var
from services.shim.loop import Loop

log = logging.getLogger("rpc")

_READ: Final = 1 << 16
_BACKLOG: Final = 4 << 20
"""Bytes waiting for a peer that does not read, above which its requests are not read either."""

_OPENING: Final[Headers] = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_DONE: Final[Headers] = [(b"grpc-status", b"0")]


class Call:
    """One call as its handler sees it."""

    __slots__ = ("_cancel", "body", "finished", "message", "method", "opened", "path", "request", "stream",
                 "timer")

    def __init__(self, stream: int, path: str, method: "Method | None") -> None:
        self.stream = stream
        self.path = path
        self.method = method
        self.request = ""
        """Id of dockerd's request that it is made for, for the log."""
        self.body = bytearray()
        self.message: bytes | None = None
        self.opened = False
        self.finished = False
        self.timer: int | None = None
        self._cancel: Callable[[], object] | None = None

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """Call back when the client gives up, its deadline passes or its connection ends before the answer."""
        self._cancel = callback

    def cancelled(self) -> None:
        if self._cancel is not None:
            self._cancel()


@dataclass(frozen=True, slots=True)
class Method:
    """How a method is served: by one answer, or (`each`) by any number of messages for each that arrives."""

    request: type[Message]
    answer: Callable[[Any, Call], Awaitable[Message]] | None = None
    each: Callable[[Any], Iterable[Message]] | None = None


class Connection:
    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        methods: Mapping[str, Method],
        answered: Callable[[], object],
        closed: Callable[["Connection"], object],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._methods = methods
        self._answered = answered
        self._closed = closed
        self._wire = Wire(client=False)
        self._calls: dict[int, Call] = {}
        self._out = bytearray()
        self._open = True
        self._ending = False
        self._corked = False
        self._blocked = False
        self._paused = False
        sock.setblocking(False)
        loop.add_reader(sock.fileno(), self._readable)
        self._flush()

    # bytes in

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            return
        self._corked = True
        try:
            for event in self._wire.h2.receive_data(data):
                self._on(event)
        except ProtocolError as error:
            log.info("connection broken error=%s", error)
            self._ending = True
            self._abandon()
        finally:
            self._corked = False
        self._flush()

    def _on(self, event: events.Event) -> None:
        if isinstance(event, events.RequestReceived):
            self._begin(event)
        elif isinstance(event, events.DataReceived):
            self._wire.consumed(event)
            if call := self._calls.get(event.stream_id):
                call.body += event.data or b""
                self._arrived(call)
        elif isinstance(event, events.StreamEnded):
            if call := self._calls.get(event.stream_id):
                self._ended(call)
        elif isinstance(event, events.StreamReset):
            self._wire.forget(event.stream_id)
            if call := self._drop(event.stream_id):
                call.cancelled()
        elif isinstance(event, events.WindowUpdated | events.RemoteSettingsChanged):
            self._wire.window_opened(event)
        elif isinstance(event, events.ConnectionTerminated):
            self._ending = True
            self._abandon()

    # calls

    def _begin(self, event: events.RequestReceived) -> None:
        headers = dict(event.headers or [])
        stream = event.stream_id
        path = headers.get(b":path", b"").decode("latin-1")
        call = self._calls[stream] = Call(stream, path, self._methods.get(path))
        if request := headers.get(b"x-request-id"):
            call.request = request.decode("latin-1")
        if not headers.get(b"content-type", b"").startswith(b"application/grpc"):
            self._drop(stream)
            self._wire.h2.send_headers(stream, [(b":status", b"415")], end_stream=True)
        elif self._ending:
            self._refuse(call, errdefs.Unavailable("the shim is shutting down"))
        elif call.method is None:
            self._refuse(call, errdefs.Unimplemented(f"unknown method {path}"))
        elif b"grpc-timeout" in headers:
            self._limit(call, headers[b"grpc-timeout"])

    def _limit(self, call: Call, header: bytes) -> None:
        seconds = parse_timeout(header)
        if seconds is None:
            self._refuse(call, errdefs.InvalidArgument(f"malformed grpc-timeout {header!r}"))
            return

        def expired() -> None:
            call.timer = None
            if not call.finished:
                self._refuse(call, errdefs.DeadlineExceeded(f"{call.path} was not done in {seconds:g} s"))
                call.cancelled()

        call.timer = self._loop.call_later(seconds, expired)

    def _arrived(self, call: Call) -> None:
        """Messages of a stream are answered as they come; a single one waits for the end of its call."""
        try:
            while (message := unpack(call.body)) is not None:
                if call.method and call.method.each:
                    self._reply_each(call, call.method.each(_parse(call.method, message)))
                elif call.message is not None:
                    raise errdefs.Internal("a unary call must carry one message, here is a second")
                else:
                    call.message = message
        except errdefs.EngineError as error:
            self._refuse(call, error)

    def _reply_each(self, call: Call, replies: Iterable[Message]) -> None:
        for reply in replies:
            self._open_reply(call)
            self._wire.send(call.stream, pack(reply.SerializeToString()))

    def _ended(self, call: Call) -> None:
        method = call.method
        if method is None or method.answer is None:
            self._open_reply(call)
            self._finish(call, _DONE)
            return
        try:
            if call.message is None or call.body:
                raise errdefs.Internal("a unary call must carry one whole message")
            request = _parse(method, call.message)
        except errdefs.EngineError as error:
            self._refuse(call, error)
            return
        token = request_var.set(call.request)
        future = self._loop.spawn(_run(method.answer(request, call), call.path))
        request_var.reset(token)
        future.when_done(lambda: self._answer(call, future.result()))

    def _answer(self, call: Call, outcome: Message | errdefs.EngineError) -> None:
        if call.finished:
            return
        if isinstance(outcome, errdefs.EngineError):
            self._fail(call, outcome)
            return
        self._open_reply(call)
        self._wire.send(call.stream, pack(outcome.SerializeToString()))
        self._finish(call, _DONE)

    def _open_reply(self, call: Call) -> None:
        if not call.opened:
            call.opened = True
            self._wire.h2.send_headers(call.stream, _OPENING)

    def _refuse(self, call: Call, error: errdefs.EngineError) -> None:
        """Before anything is done for it."""
        log.info("call refused method=%s error=%s", call.path, error)
        self._fail(call, error)

    def _fail(self, call: Call, error: errdefs.EngineError) -> None:
        code, details = errdefs.to_grpc(error)
        status = [(b"grpc-status", b"%d" % code), (b"grpc-message", quote(details))]
        self._finish(call, status if call.opened else _OPENING + status)

    def _finish(self, call: Call, trailers: Headers) -> None:
        self._drop(call.stream)
        self._wire.end(call.stream, trailers)
        self._flush()
        self._answered()

    def _drop(self, stream: int) -> Call | None:
        call = self._calls.pop(stream, None)
        if call is not None:
            call.finished = True
            if call.timer is not None:
                self._loop.cancel(call.timer)
        return call

    # bytes out

    def _flush(self) -> None:
        if self._corked or not self._open:
            return
        self._out += self._wire.take()
        blocked = False
        while self._out and not blocked:
            try:
                del self._out[: self._sock.send(self._out)]
            except (BlockingIOError, InterruptedError):
                blocked = True
            except OSError:
                self._close()
                return
        self._watch(blocked)
        if self._ending and not self._out and not self._calls:
            self._close()

    def _watch(self, blocked: bool) -> None:
        fd = self._sock.fileno()
        if blocked != self._blocked:
            self._blocked = blocked
            if blocked:
                self._loop.add_writer(fd, self._flush)
            else:
                self._loop.remove_writer(fd)
        paused = len(self._out) > _BACKLOG
        if paused != self._paused:
            self._paused = paused
            if paused:
                self._loop.remove_reader(fd)
            else:
                self._loop.add_reader(fd, self._readable)

    # end

    def go_away(self) -> None:
        """Tell the client to make no further calls; those in flight are answered. (h2's own would refuse that.)"""
        if self._open and not self._ending:
            self._ending = True
            self._out += self._wire.take()
            self._out += GoAwayFrame(
                0, last_stream_id=self._wire.h2.highest_inbound_stream_id, error_code=ErrorCodes.NO_ERROR
            ).serialize()
            self._flush()

    def _abandon(self) -> None:
        for stream in list(self._calls):
            if call := self._drop(stream):
                call.cancelled()

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()
            self._abandon()
            self._closed(self)


def _parse(method: Method, message: bytes) -> Message:
    request = method.request()
    try:
        request.ParseFromString(message)
    except DecodeError as error:
        raise errdefs.InvalidArgument(f"request is no {method.request.DESCRIPTOR.full_name}: {error}") from error
    return request


async def _run(answer: Awaitable[Message], path: str) -> Message | errdefs.EngineError:
    """The boundary: what a handler raises, as a value."""
    begin = time.perf_counter()
    try:
        reply = await answer
        log.debug("served method=%s ms=%.2f", path, (time.perf_counter() - begin) * 1e3)
        return reply
    except errdefs.EngineError as error:
        level = logging.DEBUG if isinstance(error, errdefs.NotFound | errdefs.NotModified) else logging.INFO
        log.log(level, "call failed method=%s error=%s", path, error)
        return error
    except Exception as error:
        log.exception("call crashed")
        return errdefs.Unknown(f"{type(error).__name__}: {error}")
