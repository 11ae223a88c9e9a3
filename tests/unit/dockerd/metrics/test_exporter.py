import asyncio
import socket

import pytest

from protos.errdefs import FailedPrecondition
from services.dockerd.metrics import exporter


async def render() -> bytes:
    return b"a 1\n"


def talk(*requests: bytes) -> bytes:
    """All that is answered to the requests, sent one after the other on one connection."""

    async def run() -> bytes:
        listening = exporter.bind("127.0.0.1:0")
        server = await exporter.serve(listening, render)
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        for request in requests:
            writer.write(request)
        writer.write_eof()
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        server.close()
        return answer

    return asyncio.run(run())


def test_metrics_are_prometheus_text() -> None:
    answer = talk(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert answer.endswith(b"\r\n\r\na 1\n")


def test_a_connection_is_kept() -> None:
    answer = talk(*[b"GET /metrics?x=1 HTTP/1.1\r\n\r\n"] * 2, b"HEAD /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.count(b"200 OK") == 3 and answer.count(b"a 1\n") == 2


def test_nothing_else_is_served() -> None:
    assert talk(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 404 Not Found")
    assert talk(b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").startswith(b"HTTP/1.1 405 ")
    assert talk(b"\r\n\r\n").startswith(b"HTTP/1.1 404")
    assert talk(b"x" * 70000) == b""


def test_an_address_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(FailedPrecondition) as refused:
            exporter.bind(address)
    assert str(refused.value) == f"failed to start metrics server: listen tcp {address}: bind: address already in use"
