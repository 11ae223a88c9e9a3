"""One call of the plugin protocol: POST /<Method> with a JSON body, on a connection of its own. h11 frames it.

Imported at the first call. Deadlines are the caller's; what goes wrong is an OSError or an h11.RemoteProtocolError.
"""

import asyncio
import ssl
from typing import Final
from urllib.parse import urlsplit

import h11

from services.dockerd.plugins.discovery import Place, Trust

MEDIA_TYPE: Final = b"application/vnd.docker.plugins.v1.2+json"
LIMIT: Final = 16 << 20
"""Bytes of a reply; no honest one comes near."""
_CHUNK: Final = 64 << 10

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(place: Place) -> Streams:
    """A connection to the plugin; OSError where nobody listens, or where nobody that may be trusted does."""
    url = urlsplit(place.address)
    if url.scheme == "unix":
        return await asyncio.open_unix_connection(place.address.removeprefix("unix://"))
    secure = url.scheme == "https" or (url.scheme == "tcp" and place.trust is not None)
    context = _context(place.trust or Trust()) if secure else None
    return await asyncio.open_connection(url.hostname, url.port or (443 if secure else 80), ssl=context)


def _context(trust: Trust) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=trust.ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if trust.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if trust.cert or trust.key:
        context.load_cert_chain(trust.cert, trust.key)
    return context


async def post(place: Place, streams: Streams, method: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of the reply; the connection is closed in any case."""
    reader, writer = streams
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(method="POST", target=f"/{method}", headers=_headers(place, body))
    try:
        for event in (request, h11.Data(body), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        await writer.drain()
        return await _reply(connection, reader)
    finally:
        writer.close()


def _headers(place: Place, body: bytes) -> list[tuple[bytes, bytes]]:
    url = urlsplit(place.address)
    return [
        (b"Host", b"localhost" if url.scheme == "unix" else url.netloc.encode()),
        (b"Accept", MEDIA_TYPE),
        (b"Content-Type", MEDIA_TYPE),
        (b"Content-Length", str(len(body)).encode()),
        (b"Connection", b"close"),
    ]


async def _reply(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, bytes]:
    status, pieces, size = 0, [], 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            pieces.append(bytes(event.data))
            size += len(event.data)
            if size > LIMIT:
                raise ConnectionError(f"the reply is longer than {LIMIT} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return status, b"".join(pieces)
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionError("the plugin hung up")
