"""A connection that has left HTTP: given away as a socket, or, over TLS, copied to one end of a pair."""

import asyncio
import os
import socket
from typing import Final

CHUNK: Final = 64 << 10

_copies: set[asyncio.Task[None]] = set()
"""Strong references: the loop itself keeps none."""


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
            return self._pair()
        held: socket.socket = self._transport.get_extra_info("socket")
        mine = socket.socket(fileno=os.dup(held.fileno()))
        self._transport.abort()
        return mine

    def close(self) -> None:
        self._transport.close()

    def _pair(self) -> socket.socket:
        near, far = socket.socketpair()
        near.setblocking(False)
        bridge = _Bridge(near)
        self._transport.set_protocol(bridge)
        if self.eof:
            bridge.eof_received()
        self._transport.resume_reading()
        task = asyncio.get_running_loop().create_task(bridge.copy(self._transport))
        _copies.add(task)
        task.add_done_callback(_copies.discard)
        return far


class _Bridge(asyncio.Protocol):
    """Client to `near` as the transport delivers, `near` to client by `copy`."""

    def __init__(self, near: socket.socket) -> None:
        self._near = near
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._queue.put_nowait(data)

    def eof_received(self) -> None:
        self._queue.put_nowait(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        self._queue.put_nowait(b"")
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def copy(self, transport: asyncio.Transport) -> None:
        inward = asyncio.ensure_future(self._inward(transport))
        try:
            await self._outward(transport)
        finally:
            inward.cancel()
            self._near.close()
            transport.close()

    async def _inward(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        while data := await self._queue.get():
            transport.pause_reading()
            await loop.sock_sendall(self._near, data)
            transport.resume_reading()
        self._near.shutdown(socket.SHUT_WR)

    async def _outward(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self._near, CHUNK):
            transport.write(data)
            await self._writable.wait()
            if transport.is_closing():
                return
