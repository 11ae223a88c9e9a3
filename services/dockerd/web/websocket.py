"""A connection that has become a websocket (RFC 6455): its messages copied to one end of a socket pair, and back.

Whoever takes the other end sees plain bytes. What comes is text or binary alike; what goes is binary, or, for clients
as old as that, text.
"""

import asyncio
import base64
import hashlib
import re
import socket
from collections.abc import Mapping
from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from protos.errdefs import InvalidArgument
from services.dockerd.web.raw import LINGER, Raw

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{22}==")
_VERSION: Final = "13"


def accept(headers: Mapping[str, str]) -> str:
    """Sec-WebSocket-Accept for a request's headers; InvalidArgument where they are no websocket's."""
    upgrades = {word.strip().lower() for word in headers.get("connection", "").split(",")}
    if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in upgrades:
        raise InvalidArgument("not websocket protocol")
    if headers.get("sec-websocket-version") != _VERSION:
        raise InvalidArgument(f"missing or bad WebSocket Version: there is {_VERSION}")
    key = headers.get("sec-websocket-key", "").strip()
    if not _KEY.fullmatch(key):
        raise InvalidArgument("mismatch challenge/response: Sec-WebSocket-Key is not one")
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


class WebSocket:
    """What `attach` takes for a client."""

    unread = b""

    def __init__(self, raw: Raw, *, binary: bool) -> None:
        self._raw = raw
        self._codec = Codec(binary=binary)

    def detach(self) -> socket.socket:
        return self._raw.copied(self._join)

    def close(self) -> None:
        self._raw.write(self._codec.closing())
        self._raw.close()

    async def _join(self, client: asyncio.Transport, near: socket.socket, eof: bool) -> None:
        near.setblocking(False)
        outward = _Outward(client, self._codec)
        inward, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: outward, near)
        if client.is_closing() or eof:
            inward.close()
            return
        passage = _Inward(client, inward, self._codec)
        client.set_protocol(passage)
        passage.data_received(self._raw.unread)
        client.resume_reading()


class Codec:
    """One side of a connection's messages (no transport)."""

    def __init__(self, *, binary: bool) -> None:
        self._connection = Connection(ConnectionType.SERVER)
        self._binary = binary

    def received(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """The bytes in messages, the answer they want, and whether the client has ended it."""
        content, answer = [], []
        try:
            if data:
                self._connection.receive_data(data)
            for event in self._connection.events():
                if isinstance(event, TextMessage | BytesMessage):
                    content.append(_plain(event))
                elif isinstance(event, Ping | CloseConnection):
                    answer.append(self._send(event.response()))
        except RemoteProtocolError as error:
            answer.append(self._send(error.event_hint or CloseConnection(1002, str(error))))
            return b"".join(content), b"".join(answer), True
        return b"".join(content), b"".join(answer), self._connection.state is not ConnectionState.OPEN

    def message(self, data: bytes) -> bytes:
        if self._binary:
            return self._send(BytesMessage(data))
        return self._send(TextMessage(data.decode(errors="replace")))

    def closing(self) -> bytes:
        return self._send(CloseConnection(1000))

    def _send(self, event: Event) -> bytes:
        try:
            return self._connection.send(event)
        except LocalProtocolError:  # it is closing already
            return b""


def _plain(message: TextMessage | BytesMessage) -> bytes:
    return message.data.encode() if isinstance(message, TextMessage) else bytes(message.data)


class _Inward(asyncio.Protocol):
    """From the client to the owner of the streams."""

    def __init__(self, client: asyncio.Transport, owner: asyncio.Transport, codec: Codec) -> None:
        self._client, self._owner, self._codec = client, owner, codec

    def data_received(self, data: bytes) -> None:
        content, answer, over = self._codec.received(data)
        if content and not self._owner.is_closing():
            self._owner.write(content)
        if answer:
            self._client.write(answer)
        if over:
            self._owner.close()
            self._client.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.close()

    def pause_writing(self) -> None:
        self._owner.pause_reading()

    def resume_writing(self) -> None:
        self._owner.resume_reading()


class _Outward(asyncio.Protocol):
    """From the owner of the streams to the client: its end is the end of all."""

    def __init__(self, client: asyncio.Transport, codec: Codec) -> None:
        self._client, self._codec = client, codec

    def data_received(self, data: bytes) -> None:
        self._client.write(self._codec.message(data))

    def eof_received(self) -> bool:
        self._client.write(self._codec.closing())
        # Not at once: the client is to answer, and a close on one that still sends is a reset.
        asyncio.get_running_loop().call_later(LINGER, self._client.close)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._client.close()

    def pause_writing(self) -> None:
        self._client.pause_reading()

    def resume_writing(self) -> None:
        self._client.resume_reading()
