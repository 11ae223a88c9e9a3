"""Turning a request into a raw connection: `attach` and `exec start` leave HTTP behind.

After the 101 (or bare 200) reply the connection belongs to whoever calls `detach`; nothing here frames or copies.
"""

import socket
from typing import TYPE_CHECKING, Protocol, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.dockerd.web.context import version_of

if TYPE_CHECKING:
    from services.dockerd.web.websocket import WebSocket

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"


class Taken(Protocol):
    """A connection that web/protocol.py gave up."""

    unread: bytes

    def detach(self) -> socket.socket: ...
    def close(self) -> None: ...


class Gone(Response):
    """What an endpoint returns once its connection is somebody else's: sends nothing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        return


class Hijacked:
    """A connection after its reply was flushed. Either `detach` or `close` it; return `gone` from the endpoint."""

    def __init__(self, connection: Taken) -> None:
        self._connection = connection
        self.unread = connection.unread
        """What the client sent behind its request: the beginning of stdin."""
        self.gone = Gone()

    def detach(self) -> socket.socket:
        """The client's own socket, for SCM_RIGHTS; dockerd's transport is closed without `shutdown` and forgotten.

        Over TLS it is one end of a pair whose other end is pumped to the client, half-close included.
        """
        return self._connection.detach()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


async def upgrade_to_websocket(request: Request) -> "WebSocket":
    """Answer 101 and make a websocket of the connection; InvalidArgument where the client asked for none."""
    from services.dockerd.web import websocket  # few ask for it

    accept = websocket.accept(request.headers)
    take = request.scope["extensions"]["hijack"]
    return websocket.WebSocket(await take(True, RAW, accept), binary=version_of(request) >= (1, 28))


async def hijack(request: Request, *, tty: bool) -> Hijacked:
    """Answer 101 UPGRADED (200 where the client did not ask for an upgrade), flush it, hand the connection over.

    Read the body first. The stream's type is `multiplexed` only without a tty and from API 1.42 on.
    Raises ConnectionError where the client has gone.
    """
    upgrade = "upgrade" in request.headers
    media_type = MULTIPLEXED if upgrade and not tty and version_of(request) >= (1, 42) else RAW
    take = request.scope["extensions"]["hijack"]
    return Hijacked(cast(Taken, await take(upgrade, media_type)))
