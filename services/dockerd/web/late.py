"""The application until it is imported: requests wait for it, `_ping` and the list of containers do not.

FastAPI and the routers take nearly as long to load as all the rest of dockerd; a thread does it as soon as the engine
stands.
"""

import asyncio
from collections.abc import Callable

from services.dockerd.web.asgi import ASGIApp, Receive, Scope, Send


class Late:
    def __init__(self, build: Callable[[], ASGIApp]) -> None:
        self._build = build
        self._loading: asyncio.Future[ASGIApp] | None = None
        self._app: ASGIApp | None = None

    def begin(self) -> "asyncio.Future[ASGIApp]":
        """Start loading, once; the future is done when requests are served."""
        if self._loading is None:
            self._loading = asyncio.get_running_loop().run_in_executor(None, self._build)
        return self._loading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            self._app = await asyncio.shield(self.begin())
        await self._app(scope, receive, send)
