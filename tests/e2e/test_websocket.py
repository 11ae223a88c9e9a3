"""`GET /containers/{id}/attach/ws`: a websocket client of its own (aiohttp) in the place of a browser's terminal."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.harness.cli import Docker
from tests.harness.engine import Engine
from tests.harness.http import API

ALL = "stream=1&stdin=1&stdout=1&stderr=1"


@contextlib.asynccontextmanager
async def attached(engine: Engine, name: str, query: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    connector = aiohttp.UnixConnector(str(engine.socket))
    async with (
        asyncio.timeout(30),
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(f"http://localhost/containers/{name}/attach/ws?{query}", autoping=False) as client,
    ):
        yield client


async def told(client: aiohttp.ClientWebSocketResponse, *wanted: bytes) -> bytes:
    """What comes, until all of `wanted` has."""
    said = b""
    while not all(each in said for each in wanted):
        message = await client.receive()
        assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), (message, said)
        said += message.data if isinstance(message.data, bytes) else message.data.encode()
    return said


def test_bytes_go_both_ways(docker: Docker, engine: Engine, name: str) -> None:
    echo = "while read x; do echo got $x; echo $x! >&2; done"
    docker.ok("run", "-d", "-i", "--name", name, "busybox", "sh", "-c", echo)

    async def talk() -> None:
        async with attached(engine, name, ALL) as client:
            await client.send_bytes(b"on")
            await client.send_str("e\n")
            assert len(await told(client, b"got one\n", b"one!\n")) == len("got one\none!\n")
            large = b"x" * 200_000
            await client.send_bytes(large + b"\n")
            said = await told(client, b"got " + large + b"\n", large + b"!\n")
            assert said.count(b"x") == 2 * len(large)
        async with attached(engine, name, f"{ALL}&logs=1") as client:
            await told(client, b"got one\n", b"one!\n")

    asyncio.run(talk())
    assert docker.ok("inspect", "-f", "{{.State.Running}}", name) == "true"


def test_the_end_is_the_end(docker: Docker, engine: Engine, name: str) -> None:
    docker.ok("create", "-i", "--name", name, "busybox", "cat")

    async def talk() -> None:
        async with attached(engine, name, ALL) as client:
            await asyncio.to_thread(docker.ok, "start", name)
            await client.send_bytes(b"hello\n")
            assert await told(client, b"hello\n") == b"hello\n"
            await asyncio.to_thread(docker.ok, "kill", name)
            assert (await client.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)

    asyncio.run(talk())


def test_a_client_that_closes_ends_the_input(docker: Docker, engine: Engine, name: str) -> None:
    docker.ok("create", "-i", "--name", name, "busybox", "cat")

    async def talk() -> None:
        async with attached(engine, name, ALL) as client:
            await asyncio.to_thread(docker.ok, "start", name)
            await client.send_bytes(b"hello\n")
            await told(client, b"hello\n")

    asyncio.run(talk())
    assert docker.ok("wait", name) == "0"


@pytest.mark.ours
def test_a_ping_is_answered(docker: Docker, engine: Engine, name: str) -> None:
    docker.ok("run", "-d", "-i", "-t", "--name", name, "busybox", "cat")

    async def talk() -> None:
        async with attached(engine, name, ALL) as client:
            await client.ping(b"there?")
            message = await client.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"there?")
            await client.send_bytes(b"\x10\x11")  # the keys that detach
            assert (await client.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)

    asyncio.run(talk())
    assert docker.ok("inspect", "-f", "{{.State.Running}}", name) == "true"


def test_what_is_no_websocket_is_refused(docker: Docker, api: API, name: str) -> None:
    docker.ok("create", "--name", name, "busybox", "true")
    assert api("GET", f"/containers/{name}/attach/ws").status == 400
    assert api("GET", "/containers/nobody/attach/ws").status == 404
