"""The HTTP/1.1 connection given to uvicorn as `Config(http=...)`: what ASGI has no word for, Docker needs.

httptools parses heads alone, each cut off at its empty line, so that we know at which byte a request ends. What follows
stays in `_held` until the reply is complete (then it is the next request), or goes to whoever hijacks the connection.
Theory of operation: idle -> (head) -> exchange -> (reply complete) -> idle; exchange -> (hijack) -> Raw;
exchange -> (reply complete, body unread) -> ending: what still arrives is dropped until the client closes.
"""

import asyncio
import contextvars
from typing import Any, Final

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from protos.errdefs import InvalidArgument
from services.dockerd.web import heads
from services.dockerd.web.exchange import Exchange
from services.dockerd.web.fast import Fast
from services.dockerd.web.guard import Guard
from services.dockerd.web.head import Head
from services.dockerd.web.raw import Raw

HIGH_WATER: Final = 256 << 10
"""Bytes held for the application before reading pauses."""
MAX_HEAD: Final = 1 << 20
"""Bytes of request line and headers, as in Go's server."""
LINGER: Final = 5.0
"""Seconds a client has to notice that its connection ends."""


class Protocol(asyncio.Protocol):
    """One client. uvicorn makes it with keywords, `fast` is bound beforehand."""

    def __init__(
        self,
        fast: Fast,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.fast = fast
        self.guard = guard
        self.always = fast.always
        self.app = config.loaded_app
        self.state = server_state
        self.loop = _loop or asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.exchange: Exchange | None = None
        self._held = b""
        self._head = Head()
        self._eof = False
        self._ending = False
        self._stopping = False
        self._taken = False
        self._lost = False
        self._writable = asyncio.Event()
        self._writable.set()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.state.connections.add(self)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        if self.exchange is None and not self._held:
            answer = self.fast.known.get(data)
            reply = answer() if answer else None
            if reply is not None:
                self.transport.write(reply)
                return
        self._held = self._held + data if self._held else data
        self._advance()

    def eof_received(self) -> bool:
        self._eof = True
        if self.exchange is None or self._ending:
            return False
        self.exchange.leave()
        return True  # half-closed: the reply can still be written

    def connection_lost(self, exc: Exception | None) -> None:
        self.state.connections.discard(self)
        self._lost = True
        self._writable.set()
        if self.exchange:
            self.exchange.leave()

    def pause_writing(self) -> None:
        self._writable.clear()
        if self.exchange is None:
            # A client that asks and does not read what it is answered.
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable.set()
        if self._held and self.exchange is None:
            self.loop.call_soon(self._advance)
        self.flow()

    # Requests.

    def _advance(self) -> None:
        """Go as far as the bytes in hand allow."""
        try:
            while self._held and not self._ending:
                if self.exchange:
                    self.pull()
                    break
                if not self._begin():
                    break
        except (httptools.HttpParserError, InvalidArgument) as error:
            self._refuse(400, str(error))
        self.flow()

    def _begin(self) -> bool:
        """Take one head off the held bytes; False where it is not there yet."""
        end = self._held.find(b"\r\n\r\n")
        if end < 0 or end > MAX_HEAD:
            if len(self._held) > MAX_HEAD:
                self._refuse(431, "request header is too large")
            elif self._held.startswith(b"\r\n"):
                # RFC 9112: empty lines before a request are to be ignored.
                self._held = self._held[2:]
                return bool(self._held)
            return False
        request, self._held = self._held[: end + 4], self._held[end + 4 :]
        head = self._head
        head.parse(request)
        if self.guard and (reason := self.guard.refusal(head.headers)):
            self.write(heads.message(403, reason, self.always))
            self.end(linger=True)
            return False
        if head.plain and (answer := self.fast.find(head.method, head.target)) and (reply := answer()) is not None:
            self.fast.remember(request, answer)
            self.transport.write(reply)
            return self._writable.is_set()
        self._open(head)
        return True

    def _open(self, head: Head) -> None:
        scope = head.scope(self.transport)
        exchange = Exchange(self, scope, head.body(), keep_alive=head.keep_alive, expects=head.expects)
        self.exchange = exchange
        if self._eof:
            exchange.leave()
        self.state.total_requests += 1
        task = self.loop.create_task(exchange.run(self.app), context=contextvars.Context())
        self.state.tasks.add(task)
        task.add_done_callback(self.state.tasks.discard)

    def pull(self) -> None:
        """Give the application the bytes of the body that are here, if it has asked for it."""
        exchange = self.exchange
        if not exchange or not exchange.reading or exchange.body.done or not self._held:
            return
        data, self._held = self._held, b""
        try:
            pieces, self._held = exchange.body.feed(data)
        except InvalidArgument as error:
            self._refuse(400, str(error))
        else:
            exchange.feed(pieces)

    def skim(self) -> None:
        """Drop what is here of a body that nobody asked for, as its reply begins."""
        exchange = self.exchange
        if exchange and not exchange.body.done and self._held:
            _, self._held = exchange.body.feed(self._held)

    def flow(self) -> None:
        """Pause reading while enough is held, or while a client does not read what it is answered; else resume."""
        if self._taken or self._eof or self._ending:
            return
        full = len(self._held) + self.exchange.size > HIGH_WATER if self.exchange else not self._writable.is_set()
        if full:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    # Replies.

    def write(self, data: bytes) -> None:
        if not self._ending:
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has read enough; ConnectionError once it has gone for good."""
        await self._writable.wait()
        if self._ending or self.transport.is_closing():
            raise ConnectionResetError("the client has gone")

    def finished(self, exchange: Exchange) -> None:
        """A reply is complete: close, or go on with the next request."""
        if exchange is not self.exchange:
            return
        self.exchange = None
        if not exchange.keep_alive or self._eof or self._stopping:
            self.end(linger=not exchange.body.done)
        elif self._held:
            self.loop.call_soon(self._advance)
        else:
            self.flow()

    def end(self, *, linger: bool) -> None:
        """Close once everything is written.

        With `linger` only our direction at first: closing on a client that still sends is a reset, which would take
        the reply away from it.
        """
        if self._ending or self.transport.is_closing():
            return
        self._ending = True
        self.exchange, self._held = None, b""
        if self._eof or not linger or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.transport.resume_reading()
        self.loop.call_later(LINGER, self.abort)

    def abort(self) -> None:
        """Cut the connection."""
        if not self._lost:  # asyncio's transport cannot be aborted once it has closed with something to write
            self.transport.abort()

    def _refuse(self, status: int, text: str) -> None:
        exchange = self.exchange
        if not (exchange and exchange.started):
            self.write(heads.refused(status, text))
        self.end(linger=True)
        if exchange:
            exchange.leave()

    def shutdown(self) -> None:
        """uvicorn's word for: finish what is under way and close."""
        self._stopping = True
        if self.exchange is None and not self._taken:
            self.transport.close()

    # Hijacking.

    async def give(self, head: bytes, before: bytes) -> Raw:
        """Flush `head`, then leave the connection; `before` was read of the body already."""
        if self.transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._taken = True
        self.state.connections.discard(self)
        self.transport.pause_reading()
        if self.transport.get_extra_info("sslcontext") is None:
            # Drained means empty: nothing of ours may follow what the next owner writes. TLS stays with us.
            self.transport.set_write_buffer_limits(0)
        self.transport.write(head)
        await self.drain()
        unread, self._held = before + self._held, b""
        return Raw(self.transport, unread, self._eof)
