"""A plugin as Docker's protocol has it: an HTTP server on a unix socket or a port, its answers given by the test."""

import contextlib
import json
import socketserver
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any

Answer = Callable[[dict[str, Any]], Any]
"""Gets the request's document; a dict is the reply, bytes are the reply as it is, a pair has the status in front."""


class Plugin:
    """`with Plugin(path, implements=[...], answers={"VolumeDriver.Mount": ...})`; `calls` holds what it was asked."""

    def __init__(
        self, path: Path | None = None, *, implements: tuple[str, ...] = (), answers: dict[str, Answer] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answers: dict[str, Answer] = {"Plugin.Activate": lambda _: {"Implements": list(implements)}}
        self.answers.update(answers or {})
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        plugin = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                plugin.serve(self)

            def address_string(self) -> str:
                return "plugin"

            def log_message(self, *words: Any) -> None:
                pass

        if path:
            self.server: Any = _Unix(str(path), Handler)
            self.address = f"unix://{path}"
        else:
            self.server = _Tcp(("127.0.0.1", 0), Handler)
            self.address = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_address[1]}"
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        method = handler.path.removeprefix("/")
        body = _body(handler)
        document = json.loads(body) if body.strip() else {}
        self.headers.append(dict(handler.headers))
        self.calls.append((method, document))
        answer = self.answers[method](document) if method in self.answers else (404, b"404 page not found")
        status, reply = answer if isinstance(answer, tuple) else (200, answer)
        data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        with contextlib.suppress(OSError):  # the caller has given up
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)

    def asked(self, method: str) -> list[dict[str, Any]]:
        return [document for name, document in self.calls if name == method]

    def __enter__(self) -> "Plugin":
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    """By its length, or in chunks, as Docker sends it."""
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    pieces = []
    while size := int(handler.rfile.readline(), 16):
        pieces.append(handler.rfile.read(size))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(pieces)


class _Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False


class _Tcp(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
