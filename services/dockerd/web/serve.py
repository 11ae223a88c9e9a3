"""uvicorn around our protocol class: several listeners, one application, no timers while nothing happens."""

import asyncio
import functools
import logging
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.server import Server

from services.dockerd.web.asgi import ASGIApp
from services.dockerd.web.fast import Fast
from services.dockerd.web.listeners import BACKLOG, Listener
from services.dockerd.web.protocol import Protocol

log = logging.getLogger("web")

GRACE: Final = 1.0
"""Seconds that replies under way get at the end."""


class Web:
    """Accepts on `listeners` from `start` on. Signals and uvicorn's ticking main loop are not used."""

    def __init__(self, app: ASGIApp, fast: Fast, listeners: list[Listener]) -> None:
        self.listeners = listeners
        config = Config(
            app, http=cast(Any, functools.partial(Protocol, fast)), ws="none", lifespan="off", log_config=None,
            proxy_headers=False, access_log=False, backlog=BACKLOG,
        )
        config.load()
        self.server = Server(config)
        self.server.lifespan = config.lifespan_class(config)

    async def start(self) -> None:
        await self.server.startup([each.socket for each in self.listeners])
        for listener in self.listeners:
            log.info("API listen on %s", listener.address)

    def refuse(self) -> None:
        """No new connections; those that stand may still ask."""
        for server in self.server.servers:
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
