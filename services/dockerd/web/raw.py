"""A connection that has left HTTP: given away as a socket, or, over TLS, copied to one end of a pair."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final

LINGER: Final = 5.0
"""Seconds a client has to notice that its stream has ended."""

_copies: set[asyncio.Task[None]] = set()
"""Strong references: the loop itself keeps none."""


Join = Callable[[asyncio.Transport, socket.socket, bool], Coroutine[Any, Any, None]]


class Raw:
    """Reading is paused, everything written is flushed. One of `detach` and `close` ends it."""

    def __init__(self, transport: asyncio.Transport, unread: bytes, eof: bool) -> None:
        self._transport = transport
        self.unread = unread
        self.eof = eof
        """The client has half-closed already; a plain socket says so again to its next reader."""

    def detach(self) -> socket.socket:
        """The client's socket, our transport closed without `shutdown`; over TLS a pair's end that is copied to it."""
        if self._transport.get_extra_info("sslcontext"):
            return self.copied(_join)
        held: socket.socket = self._transport.get_extra_info("socket")
        mine = socket.socket(fileno=os.dup(held.fileno()))
        self._transport.abort()
        return mine

    def copied(self, join: Join) -> socket.socket:
        """A pair's end; `join` copies between its other end and the client."""
        near, far = socket.socketpair()
        task = asyncio.get_running_loop().create_task(join(self._transport, near, self.eof))
        _copies.add(task)
        task.add_done_callback(_copies.discard)
        return far

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()


async def _join(client: asyncio.Transport, near: socket.socket, eof: bool) -> None:
    """From now on what comes from `client` goes to `near`, and back, each end's closing included."""
    near.setblocking(False)
    outward = _Outward(client)
    inward, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: outward, near)
    if client.is_closing():
        inward.close()
        return
    client.set_protocol(_Passage(inward))
    if eof:
        inward.write_eof()
    else:
        client.resume_reading()


class _Passage(asyncio.Protocol):
    """What its own transport delivers goes to `other`; while that is full, `other` is not read from."""

    def __init__(self, other: asyncio.Transport) -> None:
        self._other = other

    def data_received(self, data: bytes) -> None:
        self._other.write(data)

    def eof_received(self) -> bool:
        if not self._other.is_closing():
            self._other.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._other.close()

    def pause_writing(self) -> None:
        self._other.pause_reading()

    def resume_writing(self) -> None:
        self._other.resume_reading()


class _Outward(_Passage):
    """From the stream's owner to the client: its end is the end of all."""

    def eof_received(self) -> bool:
        super().eof_received()
        # Not at once: closing on a client that still sends is a reset, which would take the last bytes away from it.
        asyncio.get_running_loop().call_later(LINGER, self._other.close)
        return True
