"""One request and its reply: the ASGI side of a connection. web/protocol.py moves the bytes.

A body is read from the connection only when the application asks, so that uploads of any size stay in the kernel
until then, and a request that is hijacked leaves everything behind its head to the new owner.
"""

import asyncio
import logging
from typing import Any, Protocol

from services.dockerd.web import heads
from services.dockerd.web.asgi import ASGIApp, Message, Scope
from services.dockerd.web.framing import Body
from services.dockerd.web.raw import Raw

log = logging.getLogger("web")

_BODILESS = frozenset((204, 304))


class Connection(Protocol):
    """What moves the bytes, as an exchange needs it: web/protocol.py has it."""

    transport: asyncio.Transport
    always: bytes

    def pull(self) -> None: ...
    def skim(self) -> None: ...
    def flow(self) -> None: ...
    def write(self, data: bytes) -> None: ...
    async def drain(self) -> None: ...
    def finished(self, exchange: "Exchange") -> None: ...
    def end(self, *, linger: bool) -> None: ...
    def abort(self) -> None: ...
    async def give(self, head: bytes, before: bytes) -> Raw: ...


class Exchange:
    """`receive` and `send` of ASGI; the extensions `hijack`, and `connection`, which tells of the transport."""

    def __init__(self, connection: Connection, scope: Scope, body: Body, *, keep_alive: bool, expects: bool) -> None:
        self.connection = connection
        self.scope = scope
        self.body = body
        self.keep_alive = keep_alive
        self.expects = expects
        """`Expect: 100-continue` is not answered yet."""
        self.reading = False
        """The application has asked for the body."""
        self.pieces: list[bytes] = []
        self.size = 0
        self.changed = asyncio.Event()
        self.gone = False
        """The client left, or half-closed."""
        self.started = False
        self.complete = False
        self.taken = False
        """Hijacked; the connection is no longer HTTP."""
        self._ended = False
        """The application has got the whole body."""
        self._head: bytes | None = None
        self._chunked = False
        self._left: int | None = None
        scope["extensions"] = {"hijack": self.hijack, "connection": connection.transport.get_extra_info}

    async def run(self, app: ASGIApp) -> None:
        """Call the application; whatever it does, the connection is left in order."""
        try:
            await app(self.scope, self.receive, self.send)
            failed = not self.complete
        except asyncio.CancelledError:
            self.connection.abort()
            raise
        except ConnectionError:
            log.debug("client left path=%s", self.scope["path"])
            failed = True
        except Exception:
            log.exception("request crashed method=%s path=%s", self.scope["method"], self.scope["path"])
            failed = True
        if failed:
            self._fail()

    def _fail(self) -> None:
        if self.taken or (self.started and not self.complete):
            # Cut short, so that the client sees that the reply is not whole.
            self.connection.abort()
        elif not self.started and not self.gone:
            self.connection.write(heads.refused(500, "the request ended without a reply"))
            self.connection.end(linger=True)

    async def receive(self) -> Message:
        """The next piece of the body; once it is whole, waits for the client to leave."""
        if not self._ended:
            self._ask()
            while not (self.pieces or self.body.done or self.gone):
                self.changed.clear()
                await self.changed.wait()
            if self.pieces or self.body.done:
                return self._piece()
        while not (self.gone or self.complete):
            self.changed.clear()
            await self.changed.wait()
        return {"type": "http.disconnect"}

    def _ask(self) -> None:
        if self.expects and not self.started and not self.body.done:
            self.connection.write(heads.CONTINUE)
        self.expects = False
        if not self.reading:
            self.reading = True
            self.connection.pull()

    def _piece(self) -> Message:
        data = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
        self.pieces, self.size = [], 0
        self._ended = self.body.done
        self.connection.flow()
        return {"type": "http.request", "body": data, "more_body": not self._ended}

    def feed(self, pieces: list[bytes]) -> None:
        self.pieces += pieces
        self.size += sum(map(len, pieces))
        self.changed.set()

    def leave(self) -> None:
        self.gone = True
        self.changed.set()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self._body(message.get("body", b""), message.get("more_body", False))
        if not self.complete:
            await self.connection.drain()

    def _start(self, status: int, headers: Any) -> None:
        if self.started:
            raise RuntimeError("a reply was started twice")
        self.started = True
        headers = list(headers)
        length = next((int(value) for name, value in headers if name.lower() == b"content-length"), None)
        if status in _BODILESS:
            headers = [each for each in headers if each[0].lower() != b"content-length"]
            length = 0
        self._left = 0 if self.scope["method"] == "HEAD" else length
        old = self.scope["http_version"] != "1.1"
        self._chunked = self._left is None and not old
        # A body that was not read to its end leaves the connection out of step.
        self.connection.skim()
        if not self.body.done or (self._left is None and old):
            self.keep_alive = False
        head = heads.reply(
            status, headers, self.connection.always, close=not self.keep_alive, chunked=self._chunked
        )
        if self._left is None:
            self.connection.write(head)
        else:
            self._head = head

    def _body(self, data: bytes, more: bool) -> None:
        if not self.started or self.complete:
            raise RuntimeError("a body outside of a reply")
        if self.scope["method"] == "HEAD":
            data = b""
        parts = [self._head] if self._head else []
        self._head = None
        if self._chunked:
            if data:
                parts += (b"%x\r\n" % len(data), data, b"\r\n")
            if not more:
                parts.append(heads.LAST_CHUNK)
        elif data:
            self._count(len(data))
            parts.append(data)
        if parts:
            self.connection.write(parts[0] if len(parts) == 1 else b"".join(parts))
        if not more:
            self._finish()

    def _count(self, size: int) -> None:
        if self._left is None:
            return
        self._left -= size
        if self._left < 0:
            raise RuntimeError("a reply longer than its Content-Length")

    def _finish(self) -> None:
        if self._left:
            raise RuntimeError("a reply shorter than its Content-Length")
        self.complete = True
        self.changed.set()
        self.connection.finished(self)

    async def hijack(self, upgrade: bool, media_type: str, accept: str = "") -> Raw:
        """Flush the upgrade's head and give the connection away; ConnectionError where it is lost.

        With `accept` it becomes a websocket.
        """
        if self.started:
            raise RuntimeError("a reply was started already")
        self.started = self.complete = self.taken = True
        always = self.connection.always
        head = heads.websocket(accept, always) if accept else heads.upgraded(upgrade, media_type, always)
        return await self.connection.give(head, b"".join(self.pieces))
