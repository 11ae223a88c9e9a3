"""Serves /metrics on the address of --metrics-addr: plain HTTP/1.1, and nothing else, as Docker does."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from protos.errdefs import FailedPrecondition
from services.dockerd import rules
from services.dockerd.metrics import meter

if TYPE_CHECKING:
    from services.dockerd.engine.engine import Engine
    from services.dockerd.metrics.families import Families

log = logging.getLogger("metrics")

PATIENCE: Final = 60.0
"""Seconds that a connection may be idle."""
_LIMIT: Final = 16 << 10
_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Render = Callable[[], Coroutine[Any, Any, bytes]]


def bind(address: str) -> socket.socket:
    """The listening socket; FailedPrecondition in Docker's words."""
    host, port = rules.endpoint(address)
    try:
        family, *_, target = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(target[:2], family=family, backlog=128)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else error.strerror
        raise FailedPrecondition(f"failed to start metrics server: listen tcp {address}: bind: {reason}") from error


@contextlib.asynccontextmanager
async def exporting(engine: "Engine", listening: socket.socket) -> AsyncIterator[None]:
    """Measure, and serve what was measured."""
    families = await asyncio.to_thread(_families, engine)

    async def render() -> bytes:
        await asyncio.to_thread(families.processes)
        return families.render()

    meter.install(families)
    server = await serve(listening, render)
    try:
        yield
    finally:
        meter.install(None)
        server.close()


def _families(engine: "Engine") -> "Families":
    from services.dockerd.metrics.families import Families  # loads in a thread

    return Families(engine)


async def serve(listening: socket.socket, render: Render) -> asyncio.Server:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            while await _answer(reader, writer, render):
                pass
        writer.close()

    server = await asyncio.start_server(connected, sock=listening, limit=_LIMIT)
    host, port = listening.getsockname()[:2]
    log.info("metrics API listening on %s", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return server


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, render: Render) -> bool:
    """One request; whether there may be another on this connection."""
    async with asyncio.timeout(PATIENCE):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, _, rest = head.partition("\r\n")
    method, path, version = (*line.split(" "), "", "", "")[:3]
    headers = rest.lower()
    keep = version == "HTTP/1.1" and "connection: close" not in headers and "content-length:" not in headers
    if path.partition("?")[0] != "/metrics":
        reply = _reply(404, "Not Found", b"404 page not found\n", "text/plain; charset=utf-8", keep)
    elif method not in ("GET", "HEAD"):
        reply = _reply(405, "Method Not Allowed", b"", "text/plain; charset=utf-8", keep)
    else:
        reply = _reply(200, "OK", await render(), _TYPE, keep)
    writer.write(reply.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else reply)
    async with asyncio.timeout(PATIENCE):
        await writer.drain()
    return keep


def _reply(status: int, reason: str, body: bytes, kind: str, keep: bool) -> bytes:
    lines = (
        f"HTTP/1.1 {status} {reason}", f"Content-Type: {kind}", f"Content-Length: {len(body)}",
        *(() if keep else ("Connection: close",)),
    )
    return "\r\n".join((*lines, "", "")).encode() + body
