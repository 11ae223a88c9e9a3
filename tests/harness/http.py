"""The Engine API as raw HTTP over a unix socket: what no client library would send, and streams taken over by hand."""

import http.client
import json
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from tests.harness.wait import PATIENCE

TIMEOUT = 30.0 * PATIENCE


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float = TIMEOUT) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = dial(self.path, self.timeout or TIMEOUT)


def dial(path: str, timeout: float = TIMEOUT) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The error's text; Docker answers plain text to clients older than 1.24."""
        return str(self.json["message"]) if self.body.startswith(b"{") else self.body.decode().strip()


@dataclass(slots=True)
class Stream:
    """A connection that has stopped being HTTP: `head` is the reply's, `sock` the rest in both directions."""

    head: str
    sock: socket.socket
    unread: bytes

    def __enter__(self) -> "Stream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    @property
    def status(self) -> int:
        return int(self.head.split(" ", 2)[1])

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def end_input(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def receive(self) -> bytes:
        if self.unread:
            data, self.unread = self.unread, b""
            return data
        return self.sock.recv(65536)

    def rest(self) -> bytes:
        """All bytes to the end of the stream."""
        return b"".join(iter(self.receive, b""))

    def until(self, needle: bytes) -> bytes:
        """Reads until `needle` has been seen; what was read, all of it."""
        seen = b""
        while needle not in seen:
            data = self.receive()
            if not data:
                raise AssertionError(f"stream ended before {needle!r}: {seen!r}")
            seen += data
        return seen

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """stdcopy records to the end of the stream."""
        return demultiplex(self.rest())


def demultiplex(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        stream, length = struct.unpack(">BxxxL", data[:8])
        assert len(data) >= 8 + length, f"cut record in {data!r}"
        yield stream, data[8 : 8 + length]
        data = data[8 + length :]


def joined(frames: Iterator[tuple[int, bytes]], stream: int) -> bytes:
    return b"".join(data for number, data in frames if number == stream)


class API:
    """`api("GET", "/containers/json", all=1)`; the path may carry a version."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        /,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        **query: object,
    ) -> Reply:
        data, kind = encode(body)
        connection = UnixConnection(self.path, timeout)
        try:
            connection.request(method, with_query(path, query), data, {**kind, **(headers or {})})
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, /, **query: object) -> Any:
        reply = self("GET", with_query(path, query))
        assert reply.status == 200, (path, reply)
        return reply.json

    def create(self, *command: str, name: str = "", image: str = "busybox", **config: object) -> str:
        """A container of `command`, by id."""
        path = with_query("/containers/create", {"name": name} if name else {})
        reply = self("POST", path, {"Image": image, "Cmd": command, **config})
        assert reply.status == 201, reply
        return str(reply.json["Id"])

    def start(self, container: str) -> None:
        reply = self("POST", f"/containers/{container}/start")
        assert reply.status == 204, reply

    def stream(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, **query: object
    ) -> Stream:
        """Sends a request and reads its reply's head; the connection is then the caller's."""
        data, kind = encode(body)
        head = {"Host": "localhost", "Content-Length": str(len(data or b"")), **kind, **(headers or {})}
        lines = [f"{method} {with_query(path, query)} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        return self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + (data or b""))

    def upgrade(self, path: str, body: object = None, **query: object) -> Stream:
        return self.stream("POST", path, body, {"Upgrade": "tcp", "Connection": "Upgrade"}, **query)

    def raw(self, request: bytes) -> Stream:
        """Sends these very bytes and reads up to the end of the reply's head."""
        sock = dial(self.path)
        try:
            sock.sendall(request)
            seen = b""
            while b"\r\n\r\n" not in seen:
                data = sock.recv(65536)
                if not data:
                    raise AssertionError(f"connection closed within the reply's head: {seen!r}")
                seen += data
        except BaseException:
            sock.close()
            raise
        head, _, unread = seen.partition(b"\r\n\r\n")
        return Stream(head.decode("latin-1"), sock, unread)


def encode(body: object) -> tuple[bytes | None, dict[str, str]]:
    if body is None or isinstance(body, bytes):
        return body, {}
    return json.dumps(body).encode(), {"Content-Type": "application/json"}


def with_query(path: str, query: Mapping[str, object]) -> str:
    """Values that are dicts travel as JSON, as filters do."""
    flat = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in query.items()}
    return f"{path}?{urlencode(flat)}" if flat else path
