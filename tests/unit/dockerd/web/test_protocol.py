import asyncio
import os
import socket
from typing import Any

from starlette.types import Receive, Scope, Send

from services.dockerd.web import heads
from services.dockerd.web.fast import Fast
from services.dockerd.web.protocol import HIGH_WATER, MAX_HEAD
from tests.unit.dockerd.web.connection import run, serve, until


async def body_of(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        body += message["body"]
        if not message["more_body"]:
            return body


async def answer(send: Send, body: bytes, status: int = 200) -> None:
    await send({
        "type": "http.response.start", "status": status,
        "headers": [(b"content-length", str(len(body)).encode())],
    })
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await body_of(receive)
    await answer(send, scope["method"].encode() + b" " + scope["path"].encode() + b" " + body)


@run
async def test_reply_carries_common_headers() -> None:
    async with serve(echo) as client:
        client.send(b"GET /x%20y HTTP/1.1\r\nHost: d\r\n\r\n")
        head = await client.head()
        assert head.startswith("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n")
        for line in ("Api-Version: 1.51", "Docker-Experimental: false", "Ostype: linux", "Server: Docker/test (linux)"):
            assert line in head
        assert await client.exactly(9) == b"GET /x y "


@run
async def test_requests_follow_one_another() -> None:
    async with serve(echo) as client:
        for path in ("/a", "/b"):
            client.send(f"POST {path} HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi".encode())
            await client.head()
            assert await client.exactly(10) == f"POST {path} hi".encode()


@run
async def test_pipelined_requests_answered_in_order() -> None:
    async with serve(echo) as client:
        client.send(b"GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET /3 HTTP/1.1\r\n\r\n")
        for expected in (b"GET /1 ", b"POST /2 x", b"GET /3 "):
            await client.head()
            assert await client.exactly(len(expected)) == expected


@run
async def test_request_may_come_byte_by_byte() -> None:
    async with serve(echo) as client:
        chunks = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
        for byte in b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks:
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        await client.head()
        assert await client.exactly(13) == b"POST /p abcde"


@run
async def test_unknown_length_is_chunked_and_flushed() -> None:
    proceed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await proceed.wait()
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body"})

    async with serve(app) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert "Transfer-Encoding: chunked" in await client.head()
        proceed.set()
        assert await client.exactly(13) == b"3\r\none\r\n0\r\n\r\n"


@run
async def test_old_client_reads_to_the_end() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"all"})

    async with serve(app) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        head = await client.head()
        assert "Connection: close" in head and "chunked" not in head
        assert await client.rest() == b"all"


@run
async def test_head_has_no_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"not sent")

    async with serve(app) as client:
        client.send(b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert "Content-Length: 8" in await client.head()
        assert await client.rest() == b""


@run
async def test_not_modified_has_no_length() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"", 304)

    async with serve(app) as client:
        client.send(b"POST / HTTP/1.1\r\n\r\n")
        head = await client.head()
        assert head.startswith("HTTP/1.1 304 Not Modified\r\n")
        assert "Content-Length" not in head and "chunked" not in head


@run
async def test_continue_is_sent_when_body_is_wanted() -> None:
    async with serve(echo) as client:
        client.send(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await client.head() == "HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"ok")
        await client.head()
        assert await client.exactly(9) == b"POST / ok"


@run
async def test_refused_upload_ends_after_its_reply() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"no", 404)

    async with serve(app) as client:
        client.send(b"POST / HTTP/1.1\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n")
        head = await client.head()
        assert head.startswith("HTTP/1.1 404") and "Connection: close" in head
        client.send(b"still sending" * 10000)
        assert await client.rest() == b"no"


@run
async def test_unread_small_body_keeps_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"ok")

    async with serve(app) as client:
        for _ in range(2):
            client.send(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
            assert "close" not in await client.head()
            assert await client.exactly(2) == b"ok"


@run
async def test_large_upload_is_not_buffered() -> None:
    proceed, total = asyncio.Event(), 8 << 20

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await proceed.wait()
        await body_of(receive)
        await answer(send, b"done")

    async with serve(app) as client:
        client.send(f"POST / HTTP/1.1\r\nContent-Length: {total}\r\n\r\n".encode() + bytes(total))
        await until(lambda: client.server.exchange is not None and client.server.exchange.size > HIGH_WATER)
        for _ in range(100):
            await asyncio.sleep(0)
        exchange = client.server.exchange
        assert exchange and exchange.size < 4 * HIGH_WATER
        proceed.set()
        await client.head()
        assert await client.exactly(4) == b"done"


@run
async def test_slow_reader_holds_the_writer() -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": bytes(64 << 10), "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    async with serve(app) as client:
        client.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        await client.head()
        for _ in range(1000):
            await asyncio.sleep(0)
        assert sent < 100
        assert len(await client.rest()) > 1000 * (64 << 10)


@run
async def test_application_sees_client_leave() -> None:
    left = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with serve(app) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        await client.head()
        client.close()
        await asyncio.wait_for(left.wait(), 10)


@run
async def test_half_closed_client_gets_its_reply() -> None:
    async with serve(echo) as client:
        client.send(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
        client.half_close()
        await client.head()
        assert await client.rest() == b"POST / abc"


@run
async def test_crash_before_reply_is_500() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("broken")

    async with serve(app) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert (await client.head()).startswith("HTTP/1.1 500")


@run
async def test_crash_within_reply_cuts_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("broken")

    async with serve(app) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        await client.head()
        assert await client.rest() == b""  # no last chunk


@run
async def test_garbage_is_refused() -> None:
    for garbage in (
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ):
        async with serve(echo) as client:
            client.send(garbage)
            assert (await client.head()).startswith("HTTP/1.1 400 Bad Request\r\n"), garbage
            await client.rest()


@run
async def test_endless_head_is_refused() -> None:
    async with serve(echo) as client:
        client.send(b"GET / HTTP/1.1\r\nX: " + b"x" * (MAX_HEAD + 1))
        assert (await client.head()).startswith("HTTP/1.1 431 ")


def taker(seen: dict[str, Any]) -> Any:
    """An application that reads the body, hijacks and gives the socket to the test."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST" and any(name == b"content-length" for name, _ in scope["headers"]):
            seen["body"] = await body_of(receive)
        upgrade = any(name == b"upgrade" for name, _ in scope["headers"])
        raw = await scope["extensions"]["hijack"](upgrade, "application/vnd.docker.raw-stream")
        seen["unread"] = raw.unread
        seen["socket"] = raw.detach()

    return app


UPGRADE = b"POST /exec HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"


@run
async def test_upgrade_with_body_and_early_stdin() -> None:
    seen: dict[str, Any] = {}
    async with serve(taker(seen)) as client:
        client.send(UPGRADE + b"Content-Length: 2\r\n\r\n{}early stdin")
        head = await client.head()
        assert head.startswith(
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
            "Connection: Upgrade\r\nUpgrade: tcp\r\nApi-Version: "
        )
        await until(lambda: "socket" in seen)
        assert (seen["body"], seen["unread"]) == (b"{}", b"early stdin")
        with seen["socket"] as taken:
            check_both_ways(taken)
            client.send(b"in")
            assert await asyncio.get_running_loop().sock_recv(taken, 10) == b"in"
            client.half_close()
            assert await asyncio.get_running_loop().sock_recv(taken, 10) == b""
            taken.send(b"out")
        assert await client.rest() == b"out"


def check_both_ways(taken: socket.socket) -> None:
    taken.setblocking(False)
    assert taken.type == socket.SOCK_STREAM


@run
async def test_hijack_without_upgrade_is_200() -> None:
    seen: dict[str, Any] = {}
    async with serve(taker(seen)) as client:
        client.send(b"POST /attach HTTP/1.1\r\n\r\nnot a request")
        head = await client.head()
        assert head.startswith("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n")
        await until(lambda: "socket" in seen)
        assert seen["unread"] == b"not a request"
        seen["socket"].close()
        assert await client.rest() == b""


@run
async def test_chunked_announcement_of_upgrade_is_stdin() -> None:
    """A node client says chunked on an upgrade without a body, and then speaks raw bytes."""
    seen: dict[str, Any] = {}
    async with serve(taker(seen)) as client:
        client.send(UPGRADE + b"Transfer-Encoding: chunked\r\n\r\nraw")
        await client.head()
        await until(lambda: "socket" in seen)
        assert seen["unread"] == b"raw"
        seen["socket"].close()


@run
async def test_detached_connection_is_forgotten() -> None:
    seen: dict[str, Any] = {}
    async with serve(taker(seen)) as client:
        client.send(UPGRADE + b"\r\n")
        await client.head()
        await until(lambda: "socket" in seen and not client.server.state.connections)
        fd = seen["socket"].detach()
        os.write(fd, b"x")
        os.close(fd)
        assert await client.rest() == b"x"


@run
async def test_failed_hijacker_ends_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await scope["extensions"]["hijack"](True, "x/y")
        raise ValueError("broken")

    async with serve(app) as client:
        client.send(UPGRADE + b"\r\n")
        await client.head()
        assert await client.rest() == b""


@run
async def test_ignored_upgrade_is_a_plain_request() -> None:
    async with serve(echo) as client:
        client.send(b"POST /grpc HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\n1")
        await client.head()
        assert await client.exactly(12) == b"POST /grpc 1"
        client.send(b"GET /2 HTTP/1.1\r\n\r\n")
        await client.head()
        assert await client.exactly(7) == b"GET /2 "


@run
async def test_ping_is_answered_before_the_application() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("asked")

    async with serve(app) as client:
        for path in ("/_ping", "/v1.24/_ping", "/_ping", "/v1.24/_ping"):
            client.send(f"GET {path} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
            head = await client.head()
            assert "Builder-Version: 1\r\n" in head and "Swarm: inactive\r\n" in head and "Content-Length: 2" in head
            assert await client.exactly(2) == b"OK"
        client.send(b"HEAD /_ping HTTP/1.1\r\nConnection: close\r\n\r\nHEAD /v1.40/_ping HTTP/1.1\r\n\r\n")


@run
async def test_pings_wait_for_the_reply_before() -> None:
    proceed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await proceed.wait()
        await answer(send, b"slow")

    ping = b"GET /_ping HTTP/1.1\r\n\r\n"
    async with serve(app) as client:
        client.send(ping)
        await client.head()
        await client.exactly(2)
        client.send(b"GET /slow HTTP/1.1\r\n\r\n")
        await until(lambda: client.server.exchange is not None)
        client.send(ping)
        proceed.set()
        await client.head()
        assert await client.exactly(4) == b"slow"
        await client.head()
        assert await client.exactly(2) == b"OK"


@run
async def test_source_may_leave_request_to_application() -> None:
    fast = Fast(heads.common("test"))
    fast.sources["/containers/json"] = lambda version, query: b"[]" if query == "all=1" and version == (1, 41) else None
    async with serve(echo, fast) as client:
        for _ in range(2):
            client.send(b"GET /v1.41/containers/json?all=1 HTTP/1.1\r\n\r\n")
            assert "Content-Type: application/json" in await client.head()
            assert await client.exactly(2) == b"[]"
        client.send(b"GET /v1.41/containers/json HTTP/1.1\r\n\r\n")
        await client.head()
        assert (await client.exactly(27)).startswith(b"GET /v1.41/containers/json ")
