"""The head of one HTTP/1 request, parsed by httptools; ASGI's scope comes of it."""

import asyncio
from typing import Any
from urllib.parse import unquote

import httptools

from protos.errdefs import InvalidArgument
from services.dockerd.web import heads
from services.dockerd.web.framing import Body, Chunked, Counted


class Head:
    """Parses request lines and headers, one after another."""

    def parse(self, request: bytes) -> None:
        """Read one whole head; HttpParserError or InvalidArgument where it is not one of HTTP/1."""
        self.target = b""
        self.headers: list[heads.Header] = []
        self.length = 0
        self.coding = b""
        self.upgrade = self.expects = self.keep_alive = False
        self.parser = parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(request)
        except httptools.HttpParserUpgrade:
            self.upgrade = True
        if self.coding not in (b"", b"chunked"):
            raise InvalidArgument(f"unsupported transfer encoding {self.coding.decode('latin-1')}")
        self.method: bytes = parser.get_method()
        self.version: str = parser.get_http_version()
        if self.version not in ("1.1", "1.0"):
            raise InvalidArgument(f"unsupported protocol HTTP/{self.version}")
        self.keep_alive = self.keep_alive and self.version == "1.1"
        del self.parser  # holds on to us

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.headers.append((name, value))
        if name == b"content-length":
            self.length = int(value)
        elif name == b"transfer-encoding":
            self.coding = value.strip().lower()
        elif name == b"expect":
            self.expects = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        # Asked later, when the message is complete, the parser has forgotten.
        self.keep_alive = self.parser.should_keep_alive()

    @property
    def plain(self) -> bool:
        """Without a body, on a connection that stays: what web/fast.py may answer."""
        return not (self.length or self.coding or self.upgrade or self.expects) and self.keep_alive

    def body(self) -> Body:
        return Chunked() if self.coding else Counted(self.length)

    def scope(self, transport: asyncio.Transport) -> dict[str, Any]:
        url = httptools.parse_url(self.target)
        raw_path: bytes = url.path or b"/"
        peer = transport.get_extra_info("peername")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": self.version,
            "method": self.method.decode(),
            "scheme": "http",
            "path": unquote(raw_path.decode("latin-1")),
            "raw_path": raw_path,
            "query_string": url.query or b"",
            "root_path": "",
            "headers": self.headers,
            "client": peer[:2] if isinstance(peer, tuple) else None,
            "server": None,
            "state": {},
        }
