"""One connection of a gRPC client, served on the proxy's loop: calls are answered at once, each by plain functions."""

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError, Message
from h2 import events
from h2.exceptions import ProtocolError

from protos import errdefs
from protos.unary import Headers, Wire, pack, quote, unpack
from services.proxy.loop import IN, OUT, Loop, report

READ: Final = 1 << 16
_OPENING: Final[Headers] = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_DONE: Final[Headers] = [(b"grpc-status", b"0")]


class Method(NamedTuple):
    """`answer` gives the replies to one request; a unary method's are one."""

    request: type[Message]
    answer: Callable[[Any], Iterable[Message]]


class Call:
    __slots__ = ("body", "method", "opened")

    def __init__(self, method: Method) -> None:
        self.method = method
        self.body = bytearray()
        self.opened = False


class Connection:
    def __init__(self, loop: Loop, sock: socket.socket, methods: Mapping[str, Method]) -> None:
        self._loop = loop
        self._sock = sock
        self._methods = methods
        self._wire = Wire(client=False)
        self._calls: dict[int, Call] = {}
        self._out = b""
        loop.add(sock.fileno(), IN, self._handle)

    def _handle(self, happened: int) -> None:
        if happened & ~OUT:
            try:
                data = self._sock.recv(READ)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._close()
                return
            try:
                for event in self._wire.h2.receive_data(data):
                    self._on(event)
            except ProtocolError as error:
                report(f"control connection: {error}")
                self._close()
                return
        self._flush()

    def _on(self, event: events.Event) -> None:
        if isinstance(event, events.RequestReceived):
            self._begin(event.stream_id, dict(event.headers or []))
        elif isinstance(event, events.DataReceived):
            self._wire.consumed(event)
            if call := self._calls.get(event.stream_id):
                call.body += event.data or b""
                self._answer(event.stream_id, call)
        elif isinstance(event, events.StreamEnded):
            if self._calls.pop(event.stream_id, None):
                self._wire.end(event.stream_id, _DONE)
        elif isinstance(event, events.StreamReset):
            self._calls.pop(event.stream_id, None)
            self._wire.forget(event.stream_id)
        elif isinstance(event, events.WindowUpdated | events.RemoteSettingsChanged):
            self._wire.window_opened(event)

    def _begin(self, stream: int, headers: dict[bytes, bytes]) -> None:
        path = headers.get(b":path", b"").decode("latin-1")
        method = self._methods.get(path)
        if method is None:
            self._fail(stream, errdefs.Unimplemented(f"unknown method {path}"), opened=False)
        else:
            self._calls[stream] = Call(method)

    def _answer(self, stream: int, call: Call) -> None:
        try:
            while (message := unpack(call.body)) is not None:
                request = call.method.request()
                request.ParseFromString(message)
                for reply in call.method.answer(request):
                    if not call.opened:
                        call.opened = True
                        self._wire.h2.send_headers(stream, _OPENING)
                    self._wire.send(stream, pack(reply.SerializeToString()))
        except DecodeError as error:
            self._fail(stream, errdefs.InvalidArgument(f"malformed request: {error}"), call.opened)
        except errdefs.EngineError as error:
            self._fail(stream, error, call.opened)

    def _fail(self, stream: int, error: errdefs.EngineError, opened: bool) -> None:
        self._calls.pop(stream, None)
        code, details = errdefs.to_grpc(error)
        status = [(b"grpc-status", b"%d" % code), (b"grpc-message", quote(details))]
        self._wire.end(stream, status if opened else _OPENING + status)

    def _flush(self) -> None:
        self._out += self._wire.take()
        try:
            self._out = self._out[self._sock.send(self._out) :] if self._out else b""
        except BlockingIOError:
            pass
        except OSError:
            self._close()
            return
        self._loop.modify(self._sock.fileno(), IN | OUT if self._out else IN)

    def _close(self) -> None:
        self._loop.remove(self._sock.fileno())
        self._sock.close()
