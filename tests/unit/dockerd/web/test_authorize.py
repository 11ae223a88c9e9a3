"""Requests and replies shown to plugins, over a real connection and the plugins' real wire."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from protos.errdefs import NotFound
from services.dockerd.plugins.discovery import Directories
from services.dockerd.plugins.registry import Plugins
from services.dockerd.web import authorize, heads
from services.dockerd.web.asgi import Receive, Scope, Send
from services.dockerd.web.authorize import Authorized
from services.dockerd.web.fast import Fast
from tests.fakes import plugin as fake
from tests.unit.dockerd.web.connection import Client, serve

POST = b"POST /v1.44/containers/create?name=x HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"


class Application:
    """Reads the body and answers with its size; a stream for /stream, a hijacked connection for /hijack."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        if scope["path"] == "/hijack":
            try:
                raw = await scope["extensions"]["hijack"](True, "text/raw")
                raw.close()
            except Exception as error:
                await answer(send, 403, str(error).encode())
        elif scope["path"] == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await send({"type": "http.response.body", "body": b"two", "more_body": False})
        else:
            await answer(send, 201, b'{"size": %d}' % len(body))


async def answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def allowing(**more: fake.Answer) -> dict[str, fake.Answer]:
    answers = {name: lambda _: {"Allow": True} for name in (authorize.REQUEST, authorize.RESPONSE)}
    return answers | {f"AuthZPlugin.{name}": given for name, given in more.items()}


def denying(text: str) -> fake.Answer:
    return lambda _: {"Allow": False, "Msg": text}


@pytest.fixture
def application() -> Application:
    return Application()


@contextlib.asynccontextmanager
async def client(application: Application, path: Path, *names: str) -> AsyncIterator[Client]:
    plugins = Plugins(Directories((path,), ()))
    fast = Fast(heads.common("test"), barred=lambda: names)
    async with serve(Authorized(application, plugins, lambda: names), fast) as made:
        yield made


def run(path: Path, work: Callable[[], Coroutine[Any, Any, None]], **answers: fake.Answer) -> fake.Plugin:
    """`work` while the plugin `p` answers."""
    with fake.Plugin(path / "p.sock", implements=("authz",), answers=allowing(**answers)) as plugin:
        asyncio.run(asyncio.wait_for(work(), 30))
    return plugin


async def reply(client: Client) -> tuple[str, bytes]:
    head = await client.head()
    length = next(int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length"))
    return head.splitlines()[0], await client.exactly(length)


def test_what_is_executed_is_shown(tmp_path: Path, application: Application) -> None:
    async def work() -> None:
        async with client(application, tmp_path, "p") as made:
            made.send(POST + b'X-Registry-Auth: secret\r\nContent-Length: 10\r\n\r\n{"a": "b"}')
            assert await reply(made) == ("HTTP/1.1 201 Created", b'{"size": 10}')

    plugin = run(tmp_path, work)
    (asked,), (back,) = plugin.asked(authorize.REQUEST), plugin.asked(authorize.RESPONSE)
    assert asked == {
        "RequestMethod": "POST", "RequestUri": "/v1.44/containers/create?name=x",
        "RequestHeaders": {"Content-Type": "application/json", "Content-Length": "10"},
        "RequestBody": base64.b64encode(b'{"a": "b"}').decode(),
    }
    assert back["ResponseStatusCode"] == 201
    assert base64.b64decode(back["ResponseBody"]) == b'{"size": 10}'
    assert back["RequestBody"] == asked["RequestBody"]
    assert application.bodies == [b'{"a": "b"}']


@pytest.mark.parametrize("length", ["", "Content-Length: 0\r\n"])
def test_a_chunked_body_is_shown(tmp_path: Path, application: Application, length: str) -> None:
    async def work() -> None:
        async with client(application, tmp_path, "p") as made:
            chunks = b"5\r\n{\"a\":\r\n5\r\n \"b\"}\r\n0\r\n\r\n"
            made.send(POST + length.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
            await made.head()

    plugin = run(tmp_path, work)
    shown = [base64.b64decode(each.get("RequestBody", "")) for each in plugin.asked(authorize.REQUEST)]
    # Both lengths at once are refused before anybody is asked, or the chunks count: never is a body passed unseen.
    assert shown == application.bodies
    assert length or shown


@pytest.mark.parametrize(("size", "status"), [(-1, "201 Created"), (0, "201 Created"), (1, "403 Forbidden")])
def test_a_body_over_the_limit_is_denied(
    tmp_path: Path, application: Application, monkeypatch: pytest.MonkeyPatch, size: int, status: str
) -> None:
    monkeypatch.setattr(authorize, "LIMIT", 100_000)

    async def work() -> None:
        async with client(application, tmp_path, "p") as made:
            length = authorize.LIMIT + size
            made.send(POST + f"Content-Length: {length}\r\n\r\n".encode() + b"x" * length)
            line, body = await reply(made)
            assert line == f"HTTP/1.1 {status}", body

    plugin = run(tmp_path, work)
    assert bool(application.bodies) == bool(plugin.calls) == (size <= 0)


def test_a_denied_request_is_not_executed(tmp_path: Path, application: Application) -> None:
    async def work() -> None:
        async with client(application, tmp_path, "p") as made:
            for _ in range(2):
                made.send(b"GET /_ping HTTP/1.1\r\nHost: h\r\n\r\n")
                line, body = await reply(made)
                assert line == "HTTP/1.1 403 Forbidden"
                assert body == b'{"message": "authorization denied by plugin p: not today"}\n'

    run(tmp_path, work, AuthZReq=denying("not today"))
    assert application.bodies == []


def test_a_denied_reply_is_not_sent(tmp_path: Path, application: Application) -> None:
    async def work() -> None:
        async with client(application, tmp_path, "p") as made:
            made.send(POST + b"Content-Length: 2\r\n\r\n{}")
            assert b"authorization denied by plugin p: secret" in (await reply(made))[1]
            made.send(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
            line, body = await reply(made)
            assert line == "HTTP/1.1 403 Forbidden" and b"one" not in body

    run(tmp_path, work, AuthZRes=denying("secret"))


def test_a_stream_flows(tmp_path: Path, application: Application) -> None:
    async def work() -> None:
        async with client(application, tmp_path, "p") as made:
            made.send(b"GET /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            assert (await made.rest()).endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")

    plugin = run(tmp_path, work)
    assert len(plugin.asked(authorize.RESPONSE)) == 1


@pytest.mark.parametrize("denied", [False, True])
def test_a_connection_is_given_away_once_allowed(tmp_path: Path, application: Application, denied: bool) -> None:
    async def work() -> None:
        async with client(application, tmp_path, "p") as made:
            made.send(b"POST /hijack HTTP/1.1\r\nHost: h\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n")
            assert (await made.head()).startswith("HTTP/1.1 403" if denied else "HTTP/1.1 101")

    plugin = run(tmp_path, work, **({"AuthZRes": denying("no")} if denied else {}))
    (back,) = plugin.asked(authorize.RESPONSE)
    assert back["ResponseStatusCode"] == 101


@pytest.mark.parametrize(
    ("given", "text"),
    [({"Allow": True, "Err": "broken"}, "plugin p failed with error: broken"),
     ({}, "authorization denied by plugin p: "), ((500, b"dead"), "failed with error: AuthZPlugin.AuthZReq: dead")],
)
def test_a_plugin_that_fails_allows_nothing(tmp_path: Path, application: Application, given: Any, text: str) -> None:
    async def work() -> None:
        async with client(application, tmp_path, "p") as made:
            made.send(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
            assert text in (await reply(made))[1].decode()

    run(tmp_path, work, AuthZReq=lambda _: given)
    assert application.bodies == []


def test_what_is_no_json_or_a_login_is_not_shown(tmp_path: Path, application: Application) -> None:
    async def work() -> None:
        async with client(application, tmp_path, "p") as made:
            tar = b"POST /build HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-tar\r\n"
            made.send(tar + b"Content-Length: 3\r\n\r\ntar")
            await reply(made)
            made.send(POST.replace(b"/v1.44/containers/create?name=x", b"/v1.44/auth") + b"Content-Length: 2\r\n\r\n{}")
            await reply(made)

    plugin = run(tmp_path, work)
    assert all("RequestBody" not in each for each in plugin.asked(authorize.REQUEST))
    assert application.bodies == [b"tar", b"{}"]


def test_two_content_types_are_refused(tmp_path: Path, application: Application) -> None:
    async def work() -> None:
        async with client(application, tmp_path, "p") as made:
            made.send(POST + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}")
            assert (await reply(made))[0] == "HTTP/1.1 400 Bad Request"

    run(tmp_path, work)
    assert application.bodies == []


def test_without_plugins_nobody_is_asked(tmp_path: Path, application: Application) -> None:
    async def work() -> None:
        async with client(application, tmp_path) as made:
            made.send(b"GET /_ping HTTP/1.1\r\nHost: h\r\n\r\n")
            assert await reply(made) == ("HTTP/1.1 200 OK", b"OK")

    assert run(tmp_path, work).calls == []
    assert application.bodies == []


def test_a_plugin_that_is_not_there_refuses_the_start(tmp_path: Path) -> None:
    plugins = Plugins(Directories((tmp_path,), ()))
    with pytest.raises(NotFound, match='error validating authorization plugin: plugin "p" not found'):
        asyncio.run(authorize.validate(plugins, ["p"], patience=0))
