"""Heads of replies as bytes, with the headers that every reply of a Docker engine carries. No sockets here."""

import functools
import http
import json
import time
from collections.abc import Iterable
from email.utils import formatdate
from typing import Final

from services.dockerd.release import NEWEST

Header = tuple[bytes, bytes]

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"


def common(version: str) -> bytes:
    """The lines that stand in every reply; clients negotiate by `Api-Version`."""
    return (
        f"Api-Version: {NEWEST[0]}.{NEWEST[1]}\r\n"
        "Docker-Experimental: false\r\n"
        "Ostype: linux\r\n"
        f"Server: Docker/{version} (linux)\r\n"
    ).encode()


def reply(
    status: int, headers: Iterable[Header], always: bytes, *, close: bool = False, chunked: bool = False
) -> bytes:
    """Status line to empty line; `always` is what `common` made."""
    lines = [status_line(status), *(line(name, value) for name, value in headers), always, date(int(time.time()))]
    if chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    if close:
        lines.append(b"Connection: close\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def upgraded(upgrade: bool, media_type: str, always: bytes) -> bytes:
    """The head after which a connection is raw, spelled as Docker spells it."""
    if upgrade:
        start = f"HTTP/1.1 101 UPGRADED\r\nContent-Type: {media_type}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    else:
        start = f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n"
    return start.encode() + always + b"\r\n"


def websocket(accept: str, always: bytes) -> bytes:
    """The head after which a connection is a websocket."""
    start = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return start + line(b"sec-websocket-accept", accept.encode()) + always + b"\r\n"


def refused(status: int, text: str) -> bytes:
    """The whole reply to what is not HTTP; the connection ends with it."""
    start = status_line(status)
    body = f"{start.split(b' ', 1)[1].decode().strip()}: {text}\n".encode()
    return (
        start + b"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
        + line(b"content-length", str(len(body)).encode()) + b"\r\n" + body
    )


def message(status: int, text: str, always: bytes) -> bytes:
    """A whole reply with an error as Docker's clients read it, for requests the application never sees."""
    body = json.dumps({"message": text}).encode() + b"\n"
    length = str(len(body)).encode()
    headers = ((b"content-type", b"application/json"), (b"content-length", length))
    return reply(status, headers, always, close=True) + body


@functools.cache
def status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


def line(name: bytes, value: bytes) -> bytes:
    return _title(name) + b": " + value + b"\r\n"


@functools.lru_cache(maxsize=256)
def _title(name: bytes) -> bytes:
    return name.title()


@functools.lru_cache(maxsize=1)
def date(second: int) -> bytes:
    return f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
