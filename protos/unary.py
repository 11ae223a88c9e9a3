"""gRPC over HTTP/2 by the `h2` library: bytes in, bytes out, no sockets, no clock, no grpc core.

For processes that fork and for the many short connections between docker-containerd and its shims.
`Wire` is either end of a connection, `Caller` the client; the server's end is services/shim/server.py.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from protos import errdefs

logging.getLogger("hpack").setLevel(logging.WARNING)  # it tells of every header otherwise

MAX_MESSAGE: Final = 16 << 20
_STREAMS: Final = 1 << 20
_WINDOW: Final = 1 << 20
_PREFIX: Final = 5
_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_HTTP: Final = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
_RESET: Final[dict[int, int]] = {ErrorCodes.NO_ERROR: 13, ErrorCodes.REFUSED_STREAM: 14, ErrorCodes.CANCEL: 1,
                                 ErrorCodes.ENHANCE_YOUR_CALM: 8, ErrorCodes.INADEQUATE_SECURITY: 7}

Headers = list[tuple[bytes, bytes]]


def pack(message: bytes) -> bytes:
    """A message with the prefix that gRPC puts before it."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def unpack(buffer: bytearray, limit: int = MAX_MESSAGE) -> bytes | None:
    """Cut the first whole message off `buffer`; None while it is not all there.

    Raises ResourceExhausted where it is announced longer than `limit`, Unimplemented where it is compressed.
    """
    if len(buffer) < _PREFIX:
        return None
    end = _PREFIX + int.from_bytes(buffer[1:_PREFIX], "big")
    if end - _PREFIX > limit:
        raise errdefs.ResourceExhausted(f"message of {end - _PREFIX} bytes is larger than the limit of {limit}")
    if buffer[0]:
        raise errdefs.Unimplemented("compressed messages are not supported, send them with grpc-encoding identity")
    if len(buffer) < end:
        return None
    message = bytes(buffer[_PREFIX:end])
    del buffer[:end]
    return message


def quote(text: str) -> bytes:
    """A text as the header `grpc-message` has it."""
    return b"".join(
        b"%c" % byte if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte
        for byte in text.encode(errors="replace")
    )


def unquote(value: bytes) -> str:
    return _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), value).decode(errors="replace")


def parse_timeout(value: bytes) -> float | None:
    """Seconds of the header `grpc-timeout`; None where it is malformed."""
    number, unit = value[:-1], value[-1:].decode("latin-1")
    if unit not in _UNITS or not number.isdigit() or len(number) > 8:
        return None
    return int(number) * _UNITS[unit]


def format_timeout(seconds: float) -> bytes:
    """The header `grpc-timeout`: at most eight digits and a unit."""
    milliseconds = max(1, int(seconds * 1000))
    return b"%dm" % milliseconds if milliseconds < 10**8 else b"%dS" % min(int(seconds), 10**8 - 1)


@dataclass(slots=True)
class _Body:
    """What waits for the peer's window: bytes, and how the stream ends after them (None: not yet)."""

    data: bytearray = field(default_factory=bytearray)
    trailers: Headers | None = None


class Wire:
    """One end of a connection; keeps the bodies it is given until the peer's windows admit them."""

    def __init__(self, *, client: bool) -> None:
        self.h2 = H2Connection(H2Configuration(
            client_side=client, header_encoding=None, normalize_outbound_headers=False,
            validate_outbound_headers=False, validate_inbound_headers=not client,
        ))
        self.h2.local_settings = Settings(client=client, initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: _STREAMS,
            SettingCodes.MAX_HEADER_LIST_SIZE: H2Connection.DEFAULT_MAX_HEADER_LIST_SIZE,
            SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
        })
        self.h2.initiate_connection()
        self._bodies: dict[int, _Body] = {}

    def take(self) -> bytes:
        """What is to be written to the socket now."""
        return self.h2.data_to_send()

    def send(self, stream: int, data: bytes) -> None:
        self._bodies.setdefault(stream, _Body()).data += data
        self._flush(stream)

    def end(self, stream: int, trailers: Headers) -> None:
        """End our side once all bytes are out: with these trailers, or with nothing where there are none."""
        self._bodies.setdefault(stream, _Body()).trailers = trailers
        self._flush(stream)

    def forget(self, stream: int) -> None:
        """Drop what was not sent of a stream that was reset."""
        self._bodies.pop(stream, None)

    def consumed(self, event: events.DataReceived) -> None:
        """Give the peer back the window that an event's bytes took."""
        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def window_opened(self, event: events.Event) -> None:
        """Go on sending after WindowUpdated or RemoteSettingsChanged."""
        stream = getattr(event, "stream_id", 0)
        for each in [stream] if stream else list(self._bodies):
            if each in self._bodies:
                self._flush(each)

    def _flush(self, stream: int) -> None:
        body = self._bodies[stream]
        while body.data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body.data))
            if room <= 0:
                return
            last = room == len(body.data) and body.trailers == []
            self.h2.send_data(stream, bytes(body.data[:room]), end_stream=last)
            del body.data[:room]
            if last:
                del self._bodies[stream]
                return
        if body.trailers is None:
            return
        if body.trailers:
            self.h2.send_headers(stream, body.trailers, end_stream=True)
        else:
            self.h2.end_stream(stream)
        del self._bodies[stream]


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended: a message, or the status and details of an error."""

    stream: int
    message: bytes
    code: int = 0
    details: str = ""

    def result(self) -> bytes:
        """The message; raises the class of `protos.errdefs` that the status stands for."""
        if self.code:
            raise errdefs.from_grpc(self.code, self.details)
        return self.message


@dataclass(slots=True)
class _Reply:
    body: bytearray = field(default_factory=bytearray)
    code: int | None = None
    details: str = ""


class Caller:
    """The client's end: `call` and `cancel`, then `take` bytes to send; `receive` bytes gives Answers."""

    def __init__(self) -> None:
        self._wire = Wire(client=True)
        self._replies: dict[int, _Reply] = {}
        self.closed = ""
        """Why no further call can be made, empty while one can."""

    def __len__(self) -> int:
        """Calls in flight."""
        return len(self._replies)

    def take(self) -> bytes:
        return self._wire.take()

    def call(
        self, path: str, message: bytes, timeout: float | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> int:
        """Begin a call; its number is the `stream` of the Answer."""
        if self.closed:
            raise errdefs.Unavailable(self.closed)
        stream = self._wire.h2.get_next_available_stream_id()
        request: Headers = [
            (b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()), (b":authority", b"localhost"),
            (b"te", b"trailers"), (b"content-type", b"application/grpc"),
        ]
        if timeout is not None:
            request.append((b"grpc-timeout", format_timeout(timeout)))
        request.extend((name.encode(), value.encode()) for name, value in headers)
        self._wire.h2.send_headers(stream, request)
        self._replies[stream] = _Reply()
        self._wire.send(stream, pack(message))
        self._wire.end(stream, [])
        return stream

    def cancel(self, stream: int) -> None:
        """Give a call up; no Answer comes for it."""
        if self._replies.pop(stream, None) is not None and not self.closed:
            self._wire.forget(stream)
            self._wire.h2.reset_stream(stream, ErrorCodes.CANCEL)

    def receive(self, data: bytes) -> list[Answer]:
        """Bytes of the server, empty at their end: the calls that ended by them."""
        if not data:
            return self.fail("connection closed by the server")
        try:
            received = self._wire.h2.receive_data(data)
        except ProtocolError as error:
            return self.fail(f"broken HTTP/2 from the server: {error}")
        return [answer for event in received for answer in self._on(event)]

    def fail(self, reason: str) -> list[Answer]:
        """The connection is of no more use: Unavailable for every call in flight."""
        self.closed = self.closed or reason
        streams = list(self._replies)
        self._replies.clear()
        return [Answer(stream, b"", errdefs.Unavailable.code, reason) for stream in streams]

    def _on(self, event: events.Event) -> list[Answer]:
        if isinstance(event, events.ConnectionTerminated):
            return self.fail("connection given up by the server")
        if isinstance(event, events.WindowUpdated | events.RemoteSettingsChanged):
            self._wire.window_opened(event)
        stream = getattr(event, "stream_id", None)
        reply = self._replies.get(stream or 0)
        if isinstance(event, events.DataReceived):
            self._wire.consumed(event)
        if reply is None or stream is None:
            return []
        if isinstance(event, events.ResponseReceived | events.TrailersReceived):
            _read_status(reply, event.headers or [])
        elif isinstance(event, events.DataReceived):
            reply.body += event.data or b""
            if len(reply.body) > MAX_MESSAGE + _PREFIX:
                self.cancel(stream)
                return [Answer(stream, b"", errdefs.ResourceExhausted.code, "reply is too long")]
        elif isinstance(event, events.StreamReset | events.StreamEnded):
            del self._replies[stream]
            self._wire.forget(stream)
            if isinstance(event, events.StreamReset) and reply.code is None:
                reply.code = _RESET.get(event.error_code or 0, errdefs.Internal.code)
                reply.details = f"call reset by the server, HTTP/2 error {event.error_code}"
            return [_answer(stream, reply)]
        return []


def _read_status(reply: _Reply, headers: Iterable[tuple[bytes, bytes]]) -> None:
    for name, value in headers:
        if name == b"grpc-status":
            reply.code = int(value) if value.isdigit() else errdefs.Unknown.code
        elif name == b"grpc-message":
            reply.details = unquote(value)
        elif name == b":status" and value != b"200":
            reply.code = _HTTP.get(int(value), errdefs.Unknown.code)
            reply.details = f"HTTP status {int(value)} instead of a gRPC answer"


def _answer(stream: int, reply: _Reply) -> Answer:
    if reply.code is None:
        return Answer(stream, b"", errdefs.Internal.code, "the server ended the call without a status")
    if reply.code:
        return Answer(stream, b"", reply.code, reply.details)
    try:
        message = unpack(reply.body)
    except errdefs.EngineError as error:
        return Answer(stream, b"", error.code, str(error))
    if message is None:
        return Answer(stream, b"", errdefs.Internal.code, "the server ended the call in the middle of its reply")
    return Answer(stream, message)
