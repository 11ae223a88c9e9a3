"""A hijacked connection over TLS: the application gets one end of a pair, the other is copied to the client."""

import asyncio
import functools
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from services.dockerd.web import heads
from services.dockerd.web.fast import Fast
from services.dockerd.web.protocol import Protocol
from services.dockerd.web.secure import Secure
from tests.unit.dockerd.web.test_protocol import UPGRADE, taker

DEADLINE = 20


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    key = tmp_path_factory.mktemp("tls") / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", key.with_name("cert.pem"),
         "-days", "2", "-subj", "/CN=d"], check=True, capture_output=True,
    )
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(key.with_name("cert.pem"), key)
    return made


async def opened(context: ssl.SSLContext, seen: dict[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    config = Config(taker(seen), lifespan="off", log_config=None, proxy_headers=False)
    config.load()
    factory = functools.partial(Protocol, Fast(heads.common("test")), config, ServerState(), {})
    mine, theirs = socket.socketpair()
    serving = functools.partial(Secure, context, factory)
    accepting = asyncio.get_running_loop().connect_accepted_socket(serving, theirs)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    streams, _ = await asyncio.gather(asyncio.open_connection(sock=mine, ssl=trusting, server_hostname="d"), accepting)
    return streams


def test_bytes_are_copied_both_ways(context: ssl.SSLContext, tmp_path: Path) -> None:
    async def main() -> None:
        seen: dict[str, Any] = {}
        reader, writer = await opened(context, seen)
        writer.write(UPGRADE + b"\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 UPGRADED")
        loop, content = asyncio.get_running_loop(), bytes(range(256)) * 4096
        async with asyncio.timeout(DEADLINE):
            while "socket" not in seen:  # noqa: ASYNC110 - set by the application
                await asyncio.sleep(0)
        with seen["socket"] as far:
            assert far.family == socket.AF_UNIX
            far.setblocking(False)
            writer.write(b"in")
            assert await asyncio.wait_for(loop.sock_recv(far, 10), DEADLINE) == b"in"
            sending = asyncio.ensure_future(loop.sock_sendall(far, content))
            assert await asyncio.wait_for(reader.readexactly(len(content)), DEADLINE) == content
            await sending
        assert await asyncio.wait_for(reader.read(), DEADLINE) == b""
        writer.close()

    asyncio.run(main())
