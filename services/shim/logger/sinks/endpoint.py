"""A sink's address, and messages on the way to it; what goes wrong is said in the words of Go's `net`.

Whoever calls may wait: this runs in the process that feeds the sink.
"""

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

DIAL_SECONDS: Final = 10.0
_BATCH: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Address:
    """`network` is tcp, udp, unix or unixgram; `place` a path, or host:port with `host` and `port` beside it."""

    network: str
    place: str
    host: str = ""
    port: int = 0

    @classmethod
    def of(cls, network: str, host: str, port: int) -> "Address":
        return cls(network, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", host, port)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a message is tried anew, and the seconds before: `delay`, growing by `growth` up to `longest`."""

    attempts: int = 1
    delay: float = 0.0
    growth: float = 1.0
    longest: float = 60.0


_ONCE: Final = Patience()


class Endpoint:
    """Connected by `open`, and again by whatever is sent when the other side has gone."""

    def __init__(
        self,
        address: Address,
        patience: Patience = _ONCE,
        secure: Callable[[socket.socket], socket.socket] | None = None,
        dial: float = DIAL_SECONDS,
    ) -> None:
        self.reason = ""
        self._address, self._patience, self._secure, self._dial = address, patience, secure, dial
        self._socket: socket.socket | None = None
        self.write_seconds: float | None = None

    @property
    def datagrams(self) -> bool:
        return self._address.network in ("udp", "unixgram")

    def open(self) -> None:
        self.close()
        try:
            self._socket = self._connected()
            self._socket.settimeout(self.write_seconds)
        except OSError as error:
            raise OSError(dial_text(self._address, error)) from error

    def _connected(self) -> socket.socket:
        address = self._address
        if address.network in ("unix", "unixgram"):
            kind = socket.SOCK_STREAM if address.network == "unix" else socket.SOCK_DGRAM
            return _connect(socket.AF_UNIX, kind, address.place, self._dial)
        if address.network == "tcp":
            plain = socket.create_connection((address.host, address.port), self._dial)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return plain if self._secure is None else self._secure(plain)
        family, _, _, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
        return _connect(family, socket.SOCK_DGRAM, place, self._dial)

    def close(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
            self._socket = None

    # messages

    def send(self, messages: Sequence[bytes], confirm: Callable[[int, int], None] | None = None) -> int:
        """Send all of them; how many of the last were not taken, however often they were tried.

        `confirm` is told which were sent, and raises OSError unless the other side has them.
        """
        done = tried = 0
        while done < len(messages):
            before = done
            try:
                done = self._pass(messages, done)
                if confirm is not None:
                    confirm(before, done)
                tried = 0
            except OSError as error:
                done = error.done if isinstance(error, _Broken) and confirm is None else before
                self.close()
                self.reason = str(error)
                if tried >= self._patience.attempts:
                    return len(messages) - done
                self._wait(tried)
                tried += 1
        return 0

    def _wait(self, tried: int) -> None:
        patience = self._patience
        if patience.delay:
            time.sleep(min(patience.delay * patience.growth**min(tried, 100), patience.longest))

    def _pass(self, messages: Sequence[bytes], start: int) -> int:
        """Send some from `start` on; how far it came. _Broken tells how many are surely out."""
        if self._socket is None or self._over():
            self.open()
        assert self._socket is not None
        if self.datagrams:
            return self._datagrams(self._socket, messages, start)
        return self._stream(self._socket, messages, start)

    def _datagrams(self, sock: socket.socket, messages: Sequence[bytes], start: int) -> int:
        for index in range(start, len(messages)):
            try:
                sock.send(messages[index])
            except OSError as error:
                raise _Broken(index, _write_text(self._address, error)) from error
        return len(messages)

    def _stream(self, sock: socket.socket, messages: Sequence[bytes], start: int) -> int:
        end, size = start, 0
        while end < len(messages) and (end == start or size + len(messages[end]) <= _BATCH):
            size += len(messages[end])
            end += 1
        data = memoryview(messages[start] if end == start + 1 else b"".join(messages[start:end]))
        sent = 0
        try:
            while sent < len(data):
                sent += sock.send(data[sent:])
        except OSError as error:
            whole = start
            while whole < end and sent >= len(messages[whole]):
                sent -= len(messages[whole])
                whole += 1
            raise _Broken(whole, _write_text(self._address, error)) from error
        return end

    def _over(self) -> bool:
        """The other side has closed: what is sent now would vanish without an error."""
        if self._socket is None or self.datagrams:
            return False
        try:
            if self._secure is None:
                return self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
            return self._secured_over(self._socket)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _secured_over(self, sock: socket.socket) -> bool:
        """TLS has no peeking; nothing but an end is expected of the other side here."""
        sock.settimeout(0)
        try:
            return sock.recv(1) == b""
        except OSError as error:
            return type(error).__name__ != "SSLWantReadError"  # not imported for its name
        finally:
            sock.settimeout(self.write_seconds)

    def receive(self, number: int) -> bytes:
        """Some bytes of an answer; OSError at its end."""
        assert self._socket is not None
        data = self._socket.recv(number)
        if not data:
            raise OSError("EOF")
        return data


class _Broken(OSError):
    def __init__(self, done: int, text: str) -> None:
        super().__init__(text)
        self.done = done


def _connect(family: int, kind: int, place: object, seconds: float) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        sock.settimeout(seconds)
        sock.connect(place)  # type: ignore[arg-type]  # whatever the family has
        return sock
    except BaseException:
        sock.close()
        raise


def dial_text(address: Address, error: OSError) -> str:
    """Why it cannot be reached, as Go's `net` says it."""
    if isinstance(error, socket.gaierror):
        return f"dial {address.network}: lookup {address.host}: no such host"
    if error.errno is None and not isinstance(error, TimeoutError):
        return str(error)  # said already
    if isinstance(error, TimeoutError):
        return f"dial {address.network} {address.place}: i/o timeout"
    return f"dial {address.network} {address.place}: connect: {(error.strerror or str(error)).lower()}"


def _write_text(address: Address, error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"write {address.network} {address.place}: i/o timeout"
    return f"write {address.network} {address.place}: {(error.strerror or str(error)).lower()}"
