"""Replies of endpoints: JSON as Docker ends it, and streams that flush each chunk and stop when the client goes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


def json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A document of plain values as a reply."""
    return Response(orjson.dumps(document) + b"\n", status, headers, "application/json")


def error(message: str, status: int) -> Response:
    """An error as Docker's clients read it; 304 has no body."""
    return Response(status_code=304) if status == 304 else json({"message": message}, status)


class Stream(Response):
    """Headers at once, then every chunk as it comes; `chunks` is closed as soon as the client has gone.

    An exception before the first chunk comes too late for a status: check before making a Stream.
    """

    def __init__(
        self, chunks: AsyncIterator[bytes], media_type: str, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(None, status, headers, media_type)
        self.chunks = chunks
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not sending.done():
                sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sending

    async def _send(self, send: Send) -> None:
        try:
            async for chunk in self.chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if close := getattr(self.chunks, "aclose", None):
                await close()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
