"""gRPC over HTTP/2 without grpc: framing, headers, and a Caller against a Wire."""

import pytest
from h2 import events
from hypothesis import given
from hypothesis import strategies as st

from protos import errdefs
from protos.unary import (
    MAX_MESSAGE,
    Answer,
    Caller,
    Headers,
    Wire,
    format_timeout,
    pack,
    parse_timeout,
    quote,
    unpack,
    unquote,
)

OPENING: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]


@given(st.text())
def test_texts_survive_a_header(text: str) -> None:
    quoted = quote(text)
    assert all(0x20 <= byte <= 0x7E for byte in quoted)
    assert unquote(quoted) == text.encode(errors="replace").decode()


@given(st.lists(st.binary(max_size=50)), st.integers(1, 7))
def test_messages_are_cut_anywhere(messages: list[bytes], step: int) -> None:
    wire = b"".join(map(pack, messages))
    buffer, seen = bytearray(), []
    for start in range(0, len(wire), step):
        buffer += wire[start : start + step]
        while (message := unpack(buffer)) is not None:
            seen.append(message)
    assert seen == messages


def test_announced_length_is_limited() -> None:
    with pytest.raises(errdefs.ResourceExhausted):
        unpack(bytearray(b"\0" + (MAX_MESSAGE + 1).to_bytes(4, "big")))


def test_compressed_message_is_refused() -> None:
    with pytest.raises(errdefs.Unimplemented):
        unpack(bytearray(b"\1\0\0\0\0"))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(b"1S", 1.0), (b"100m", 0.1), (b"5u", 5e-6), (b"2H", 7200.0), (b"3M", 180.0), (b"7n", 7e-9),
     (b"", None), (b"S", None), (b"-1S", None), (b"1x", None), (b"123456789S", None)],
)
def test_timeouts_are_read(header: bytes, seconds: float | None) -> None:
    assert parse_timeout(header) == (pytest.approx(seconds) if seconds is not None else None)


@given(st.floats(0, 10**12))
def test_timeouts_are_written_so_that_they_can_be_read(seconds: float) -> None:
    header = format_timeout(seconds)
    assert len(header) <= 9
    assert parse_timeout(header) is not None


class Server:
    """The other end: what it received of each stream; answers as a test says."""

    def __init__(self) -> None:
        self.wire = Wire(client=False)
        self.requests: dict[int, bytearray] = {}
        self.ended: list[int] = []

    def take(self, data: bytes) -> None:
        for event in self.wire.h2.receive_data(data):
            if isinstance(event, events.RequestReceived):
                self.requests[event.stream_id] = bytearray()
            elif isinstance(event, events.DataReceived):
                self.requests[event.stream_id] += event.data
                self.wire.consumed(event)
            elif isinstance(event, events.StreamEnded):
                self.ended.append(event.stream_id)
            elif isinstance(event, events.WindowUpdated | events.RemoteSettingsChanged):
                self.wire.window_opened(event)

    def answer(self, stream: int, body: bytes, trailers: Headers) -> None:
        self.wire.h2.send_headers(stream, OPENING)
        if body:
            self.wire.send(stream, body)
        self.wire.end(stream, trailers)


def exchange(caller: Caller, server: Server) -> list[Answer]:
    """Carry bytes until both are silent."""
    answers = []
    while True:
        up, down = caller.take(), server.wire.take()
        if not up and not down:
            return answers
        if up:
            server.take(up)
        if down:
            answers += caller.receive(down)


def test_call_and_answer() -> None:
    caller, server = Caller(), Server()
    stream = caller.call("/a.B/C", b"question", timeout=3, headers=[("containerd-namespace", "moby")])
    assert exchange(caller, server) == []
    assert server.requests == {stream: bytearray(pack(b"question"))}
    server.answer(stream, pack(b"answer"), [(b"grpc-status", b"0")])
    assert [answer.result() for answer in exchange(caller, server)] == [b"answer"]
    assert len(caller) == 0


def test_error_is_raised_as_its_class() -> None:
    caller, server = Caller(), Server()
    stream = caller.call("/a.B/C", b"")
    exchange(caller, server)
    server.answer(stream, b"", [(b"grpc-status", b"9"), (b"grpc-message", quote("läuft: conflict"))])
    (answer,) = exchange(caller, server)
    with pytest.raises(errdefs.Conflict, match=r"^läuft$"):
        answer.result()


def test_status_alone_is_an_answer() -> None:
    caller, server = Caller(), Server()
    stream = caller.call("/a.B/C", b"")
    exchange(caller, server)
    server.wire.h2.send_headers(stream, [*OPENING, (b"grpc-status", b"5")], end_stream=True)
    (answer,) = exchange(caller, server)
    assert answer.code == errdefs.NotFound.code


@pytest.mark.parametrize("size", [0, 16384, 65535, 200_000, 3 << 20])
def test_bodies_of_any_length_pass_both_ways(size: int) -> None:
    caller, server = Caller(), Server()
    stream = caller.call("/a.B/C", bytes(size))
    exchange(caller, server)
    assert len(server.requests[stream]) == size + 5
    assert server.ended == [stream]
    server.answer(stream, pack(bytes(size)), [(b"grpc-status", b"0")])
    (answer,) = exchange(caller, server)
    assert len(answer.result()) == size


def test_calls_are_answered_in_any_order() -> None:
    caller, server = Caller(), Server()
    streams = [caller.call("/a.B/C", b"%d" % number) for number in range(50)]
    exchange(caller, server)
    for stream in reversed(streams):
        server.answer(stream, pack(bytes(server.requests[stream][5:])), [(b"grpc-status", b"0")])
    answers = {answer.stream: answer.result() for answer in exchange(caller, server)}
    assert [answers[stream] for stream in streams] == [b"%d" % number for number in range(50)]


def test_cancelled_call_gets_no_answer() -> None:
    caller, server = Caller(), Server()
    stream = caller.call("/a.B/C", b"")
    exchange(caller, server)
    caller.cancel(stream)
    assert exchange(caller, server) == []
    assert len(caller) == 0
    caller.cancel(stream)


@pytest.mark.parametrize("data", [b"", bytes(64)])
def test_lost_connection_fails_every_call(data: bytes) -> None:
    caller = Caller()
    streams = [caller.call("/a.B/C", b"") for _ in range(3)]
    answers = caller.receive(data)
    assert [answer.stream for answer in answers] == streams
    assert {answer.code for answer in answers} == {errdefs.Unavailable.code}
    with pytest.raises(errdefs.Unavailable):
        caller.call("/a.B/C", b"")


def test_end_without_a_status_is_an_error() -> None:
    caller, server = Caller(), Server()
    stream = caller.call("/a.B/C", b"")
    exchange(caller, server)
    server.wire.h2.send_headers(stream, OPENING, end_stream=True)
    (answer,) = exchange(caller, server)
    assert answer.code == errdefs.Internal.code


def test_plain_http_error_is_translated() -> None:
    caller, server = Caller(), Server()
    stream = caller.call("/a.B/C", b"")
    exchange(caller, server)
    server.wire.h2.send_headers(stream, [(b":status", b"503")], end_stream=True)
    (answer,) = exchange(caller, server)
    assert answer.code == errdefs.Unavailable.code
