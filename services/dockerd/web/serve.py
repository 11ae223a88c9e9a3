"""uvicorn's state around our protocol class: several listeners, one application, no timers while nothing happens."""

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.server import Server

from services.dockerd.web.asgi import ASGIApp
from services.dockerd.web.fast import Fast
from services.dockerd.web.guard import Guard
from services.dockerd.web.listeners import BACKLOG, Listener
from services.dockerd.web.protocol import Protocol
from services.dockerd.web.secure import Secure

log = logging.getLogger("web")

GRACE: Final = 1.0
"""Seconds that replies under way get at the end."""


class Web:
    """Accepts on `listeners` from `start` on; on tcp:// nobody is served who calls us by a name not in `names`.

    Signals, the ticking main loop and the listeners of uvicorn are not used.
    """

    def __init__(self, app: ASGIApp, fast: Fast, listeners: list[Listener], names: Iterable[str] = ()) -> None:
        self.listeners = listeners
        self.fast = fast
        self.names = tuple(names)
        config = Config(
            app, http=cast(Any, Protocol), ws="none", lifespan="off", log_config=None, proxy_headers=False,
            access_log=False, backlog=BACKLOG,
        )
        config.load()
        self.server = Server(config)
        self.servers: list[asyncio.Server] = []

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for listener in self.listeners:
            make = self._protocols(listener)
            self.servers.append(await loop.create_server(make, sock=listener.socket, backlog=BACKLOG))
            log.info("API listen on %s", listener.address)

    def _protocols(self, listener: Listener) -> Callable[[], asyncio.Protocol]:
        guard = Guard(self.names, secure=listener.tls is not None) if listener.tcp else None
        # A guarded listener remembers its own requests: those of a unix socket were let through unseen.
        fast = self.fast.beside() if guard else self.fast
        make = functools.partial(Protocol, fast, self.server.config, self.server.server_state, {}, guard=guard)
        return functools.partial(Secure, listener.tls, make) if listener.tls else make

    def refuse(self) -> None:
        """No new connections; those that stand may still ask."""
        for server in self.servers:
            server.close()
        for listener in self.listeners:
            listener.close()

    async def stop(self) -> None:
        """End all connections: idle ones at once, the others after GRACE."""
        self.refuse()
        state = self.server.server_state
        for connection in list(state.connections):
            connection.shutdown()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=GRACE)
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        for connection in list(state.connections):
            connection.transport.abort()
