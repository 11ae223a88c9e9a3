import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from protos.errdefs import InvalidArgument
from services.dockerd.web.websocket import Codec, accept

GOOD = {
    "connection": "keep-alive, Upgrade", "upgrade": "WebSocket", "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_key_is_answered_as_in_the_standard() -> None:
    assert accept(GOOD) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    "wrong", [{"connection": "close"}, {"upgrade": "tcp"}, {"sec-websocket-version": "8"}, {"sec-websocket-key": "x"}]
)
def test_what_is_no_websocket_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        accept(GOOD | wrong)


def test_messages_are_bytes_in_order() -> None:
    client, codec = Connection(ConnectionType.CLIENT), Codec(binary=True)
    wire = client.send(BytesMessage(b"a")) + client.send(TextMessage("ü")) + client.send(Ping(b"p"))
    content, answer, over = b"", b"", False
    for at in range(len(wire)):  # however it is cut
        piece, reply, over = codec.received(wire[at : at + 1])
        content, answer = content + piece, answer + reply
    assert content == "aü".encode() and not over
    client.receive_data(answer)
    assert list(client.events()) == [Pong(b"p")]


@pytest.mark.parametrize(("binary", "kind"), [(True, BytesMessage), (False, TextMessage)])
def test_output_is_of_the_kind_that_is_wanted(binary: bool, kind: type) -> None:
    client, codec = Connection(ConnectionType.CLIENT), Codec(binary=binary)
    client.receive_data(codec.message(b"out") + codec.closing())
    message, end = client.events()
    assert isinstance(message, kind) and isinstance(end, CloseConnection) and end.code == 1000
    assert codec.closing() == codec.message(b"late") == b""


def test_close_is_answered_and_ends_it() -> None:
    client, codec = Connection(ConnectionType.CLIENT), Codec(binary=True)
    content, answer, over = codec.received(client.send(BytesMessage(b"last")) + client.send(CloseConnection(1000)))
    assert (content, over) == (b"last", True)
    client.receive_data(answer)
    assert isinstance(next(client.events()), CloseConnection)


def test_unmasked_frame_ends_it() -> None:
    content, answer, over = Codec(binary=True).received(b"\x82\x01x")
    assert over and not content and answer[:1] == b"\x88"
