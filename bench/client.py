"""A raw HTTP client for measuring: one kept connection, requests written by hand, so that it costs next to nothing."""

import json
import socket
from typing import Any

from tests.harness.http import dial


class Client:
    """`client("POST", "/containers/x/start")` gives (status, body) over a connection that stays open."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._sock: socket.socket = dial(path, 120)
        self._unread = b""

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        data = b"" if body is None else json.dumps(body).encode()
        kind = "Content-Type: application/json\r\n" if data else ""
        head = f"{method} /v1.41{path} HTTP/1.1\r\nHost: x\r\n{kind}Content-Length: {len(data)}\r\n\r\n"
        self._sock.sendall(head.encode() + data)
        return self.reply()

    def reply(self) -> tuple[int, bytes]:
        while b"\r\n\r\n" not in self._unread:
            self._more()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        status = int(lines[0].split(" ")[1])
        if headers.get("transfer-encoding") == "chunked":
            return status, self._chunked()
        return status, self._take(int(headers.get("content-length", "0")))

    def _chunked(self) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in self._unread:
                self._more()
            digits, _, self._unread = self._unread.partition(b"\r\n")
            size = int(digits, 16)
            body += self._take(size + 2)[:-2]
            if not size:
                return body

    def _take(self, size: int) -> bytes:
        while len(self._unread) < size:
            self._more()
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def _more(self) -> None:
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
