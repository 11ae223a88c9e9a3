"""TLS as a transport that half-closes: asyncio's own cannot, and `docker run -i` ends its stdin by close_notify.

One object between socket and protocol: to the socket's transport it is a protocol, to ours a transport. Bytes pass
through OpenSSL's memory buffers. Each direction ends by its own close_notify, as with Go's clients; a connection that
is cut without one is lost, not ended. Theory of operation: handshake -> open -> (close) -> closing.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any, Final

log = logging.getLogger("web")

HANDSHAKE: Final = 30.0
"""Seconds a client has to finish its handshake."""
_RECORD: Final = 16 << 10
_HELLO: Final = 0x16
"""The first byte of TLS."""
_PLAIN: Final = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


class Secure(asyncio.Transport, asyncio.Protocol):
    """One connection; `make` gives the protocol that is served over it, once the handshake is done."""

    def __init__(self, context: ssl.SSLContext, make: Callable[[], asyncio.Protocol]) -> None:
        super().__init__()
        self._context = context
        self._make = make
        self._raw: asyncio.Transport
        self._protocol: asyncio.Protocol | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._timer: asyncio.TimerHandle | None = None
        self._heard = False
        """Something has come from the client."""
        self._ended = False
        """The client has said that nothing follows."""
        self._finished = False
        """We have."""
        self._closing = False
        self._lost = False

    # The socket's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._raw = transport
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE, self._refuse, "it took too long")

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if not self._heard and data[0] != _HELLO:
            self._raw.write(_PLAIN)
            self._refuse("client sent an HTTP request to an HTTPS server")
            return
        self._heard = True
        self._incoming.write(data)
        if self._protocol or self._shake():
            self._read()

    def eof_received(self) -> bool:
        return False  # without close_notify it is no end, but a loss

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = self._lost = True
        self._stop_timer()
        if self._protocol:
            self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._protocol:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol:
            self._protocol.resume_writing()

    def _shake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._flush()  # the alert that tells the client
            self._refuse(error.reason or str(error))
            return False
        self._flush()
        self._stop_timer()
        self._protocol = self._make()
        self._protocol.connection_made(self)
        return True

    @property
    def _peer(self) -> str:
        """Who it is, as `address:port`."""
        host, port, *_ = self._raw.get_extra_info("peername") or ("?", 0)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _refuse(self, reason: str) -> None:
        log.info("http: TLS handshake error from=%s error=%s", self._peer, reason)
        self._closing = True
        self._raw.close()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _read(self) -> None:
        """Give the protocol what can be decrypted of the bytes in hand."""
        pieces: list[bytes] = []
        try:
            while not self._ended:
                piece = self._tls.read(_RECORD)
                self._ended = not piece
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._ended = True
        except ssl.SSLError as error:
            self._break(error)
            return
        self._flush()  # a new key, say, is answered
        protocol = self._protocol
        assert protocol
        if pieces and (data := pieces[0] if len(pieces) == 1 else b"".join(pieces)):
            protocol.data_received(data)
        if self._ended and not self._closing and not protocol.eof_received():
            self.close()

    def _break(self, error: ssl.SSLError) -> None:
        """The client has sent what is no TLS, or the session is over."""
        log.info("http: TLS error from=%s error=%s", self._peer, error.reason or error)
        self._flush()  # the alert that tells the client
        self.abort()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    # The protocol's side.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sslcontext":
            return self._context
        if name == "peercert":
            return self._tls.getpeercert()
        if name == "peercert_pem":
            shown = self._tls.getpeercert(True)
            return ssl.DER_cert_to_PEM_cert(shown) if shown else default
        return self._raw.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closing or self._raw.is_closing()

    def is_reading(self) -> bool:
        return self._raw.is_reading()

    def pause_reading(self) -> None:
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._raw.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._finished or self.is_closing():
            return
        view = memoryview(data)
        try:
            while view:
                view = view[self._tls.write(view) :]
        except ssl.SSLError as error:
            self._break(error)
            return
        self._flush()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """close_notify: nothing follows from us; what the client still sends is read."""
        if self._finished or self.is_closing():
            return
        self._finished = True
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # it says so too where the client's own is not here yet
        self._flush()

    def close(self) -> None:
        if not self._closing:
            self.write_eof()
            self._closing = True
            self._raw.close()

    def abort(self) -> None:
        self._closing = True
        if not self._lost:  # a transport of asyncio's that has closed with something to write cannot be aborted
            self._raw.abort()
