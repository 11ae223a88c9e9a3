"""A registry that does as it is told: serves blobs and manifests, breaks off, lies, redirects."""

import http.server
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.harness import images
from tests.harness.netns import Namespace

Handler = http.server.BaseHTTPRequestHandler


@dataclass
class Fake:
    """`documents` by path below /v2/: content type and bytes. `rules` see a request first; True when they answered."""

    address: str
    documents: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    rules: list[Callable[[Handler], bool]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def image(self, name: str, config: bytes, layers: list[bytes], kind: str = images.MANIFEST) -> bytes:
        """Serve an image under `path:tag`; its manifest."""
        path, _, tag = name.partition(":")
        document = images.manifest(config, layers, kind)
        for blob in (config, *layers):
            self.documents[f"{path}/blobs/{images.digest(blob)}"] = ("application/octet-stream", blob)
        for reference in (tag, images.digest(document)):
            self.documents[f"{path}/manifests/{reference}"] = (kind, document)
        return document

    def asked(self, end: str) -> list[dict[str, str]]:
        """Headers of the requests whose path ends so."""
        return [headers for path, headers in self.requests if path.endswith(end)]


class Server(socketserver.ThreadingTCPServer):
    """One without http.server's look-up of its own name, which has nobody to answer it."""

    allow_reuse_address = daemon_threads = True


@contextmanager
def serving(network: Namespace, port: int, host: str = "127.0.0.1") -> Iterator[Fake]:
    fake = Fake(f"{host}:{port}")

    class Answers(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            if self.connection.recv(1, socket.MSG_PEEK) != b"\x16":  # who speaks TLS is hung up on, as by real ones
                super().handle()

        def do_GET(self) -> None:
            fake.requests.append((self.path, dict(self.headers.items())))
            if not any(rule(self) for rule in fake.rules):
                plain(self, fake)

        do_HEAD = do_POST = do_PATCH = do_PUT = do_GET

        def log_message(self, *arguments: object) -> None:
            """Silence."""

    server = network.call(lambda: Server((host, port), Answers))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()


def plain(handler: Handler, fake: Fake) -> None:
    """What an honest registry answers, ranges too."""
    path = handler.path.removeprefix("/v2/")
    kind, data = fake.documents.get(path, ("", b"{}"))
    if path and path not in fake.documents:
        send(handler, 404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
        return
    start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
    headers = {"Content-Type": kind}
    if "/manifests/" in path:
        headers["Docker-Content-Digest"] = images.digest(data)
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
    send(handler, 206 if start else 200, data[start:], headers)


def body(handler: Handler) -> bytes:
    """What the client sends along, in one piece or in chunks."""
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
    data = b""
    while size := int(handler.rfile.readline(), 16):
        data += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return data


def send(handler: Handler, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for key, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
        handler.send_header(key, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
