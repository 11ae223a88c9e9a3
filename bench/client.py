"""A raw HTTP client for measuring: one kept connection, requests written by hand, so that it costs next to nothing."""

import json
import socket
from typing import Any

from tests.harness.http import dial


class Client:
    """`client("POST", "/containers/x/start")` gives (status, body) over a connection that stays open."""

    def __init__(self, path: str, sock: socket.socket | None = None) -> None:
        self.path = path
        self._sock = sock or dial(path, 120)
        self._unread = bytearray()
        self._at = 0

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        data = b"" if body is None else json.dumps(body).encode()
        kind = "Content-Type: application/json\r\n" if data else ""
        head = f"{method} /v1.41{path} HTTP/1.1\r\nHost: x\r\n{kind}Content-Length: {len(data)}\r\n\r\n"
        self._sock.sendall(head.encode() + data)
        return self.reply()

    def reply(self) -> tuple[int, bytes]:
        status = int(self._line().split(b" ")[1])
        headers: dict[str, str] = {}
        while line := self._line().decode("latin-1"):
            name, _, value = line.partition(": ")
            headers[name.lower()] = value.lower()
        if headers.get("transfer-encoding") == "chunked":
            return status, self._chunked()
        return status, self._take(int(headers.get("content-length", "0")))

    def _chunked(self) -> bytes:
        parts: list[bytes] = []
        while True:
            size = int(self._line(), 16)
            parts.append(self._take(size))
            self._take(2)
            if not size:
                return b"".join(parts)

    def _line(self) -> bytes:
        while (end := self._unread.find(b"\r\n", self._at)) < 0:
            self._more()
        line, self._at = bytes(self._unread[self._at : end]), end + 2
        return line

    def _take(self, size: int) -> bytes:
        while len(self._unread) - self._at < size:
            self._more()
        data = bytes(self._unread[self._at : self._at + size])
        self._at += size
        return data

    def _more(self) -> None:
        del self._unread[: self._at]  # only here, so that many small chunks cost no copy each
        self._at = 0
        data = self._sock.recv(1 << 20)
        if not data:
            raise ConnectionError(f"{self.path} closed the connection")
        self._unread += data

    def expect(self, status: int, method: str, path: str, body: Any = None) -> Any:
        """The decoded reply; AssertionError where the status is another."""
        found, data = self(method, path, body)
        assert found == status, (method, path, found, data)
        return json.loads(data) if data.strip() else None

    def create(self, *command: str, **more: Any) -> str:
        body = {"Image": "busybox", "Cmd": list(command), **more}
        return str(self.expect(201, "POST", "/containers/create", body)["Id"])

    def remove(self, container: str) -> None:
        self.expect(204, "DELETE", f"/containers/{container}?force=1&v=1")

    def close(self) -> None:
        self._sock.close()
