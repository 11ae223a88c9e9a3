"""A client's end of a connection served by our protocol class, over a real socket pair."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from socket import SHUT_WR, socketpair
from typing import Any

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from services.dockerd.web import heads
from services.dockerd.web.fast import Fast
from services.dockerd.web.protocol import Protocol

DEADLINE = 10


class Client:
    """Sends bytes, reads replies; every wait has a deadline."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Protocol) -> None:
        self.reader, self.writer, self.server = reader, writer, server

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def half_close(self) -> None:
        self.writer.get_extra_info("socket").shutdown(SHUT_WR)

    def close(self) -> None:
        self.writer.close()

    async def head(self) -> str:
        """One head, to its empty line."""
        return (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), DEADLINE)).decode()

    async def exactly(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), DEADLINE)

    async def rest(self) -> bytes:
        """Everything to the end of the connection."""
        return await asyncio.wait_for(self.reader.read(), DEADLINE)


@contextlib.asynccontextmanager
async def serve(app: ASGIApp, fast: Fast | None = None) -> AsyncIterator[Client]:
    config = Config(app, lifespan="off", log_config=None, proxy_headers=False)
    config.load()
    state = ServerState()
    factory = functools.partial(Protocol, fast or Fast(heads.common("test")), config, state, {})
    mine, theirs = socketpair()
    loop = asyncio.get_running_loop()
    _, server = await loop.connect_accepted_socket(factory, theirs)
    reader, writer = await asyncio.open_connection(sock=mine)
    try:
        yield Client(reader, writer, server)
    finally:
        writer.close()
        server.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test whose body is a coroutine."""

    @functools.wraps(main)
    def test() -> None:
        asyncio.run(asyncio.wait_for(main(), 60))

    del test.__wrapped__  # pytest would look at its signature
    return test


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something the other task will do."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - the other side has no event for it
            await asyncio.sleep(0)
