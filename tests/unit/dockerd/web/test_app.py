import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from protos import errdefs
from services.dockerd.api import absent
from services.dockerd.web import app, reply
from services.dockerd.web.context import version_of
from services.dockerd.web.decode import read_json
from services.dockerd.web.query import flag, number
from tests.unit.dockerd.web.connection import Client, run, serve

router = APIRouter()


class Detail(BaseModel):
    Count: int = 0


class Asked(BaseModel):
    Name: str = ""
    Inner: Detail | None = None


@router.get("/where")
async def where(request: Request) -> Response:
    return reply.json({"version": version_of(request), "all": flag(request, "all"), "limit": number(request, "limit")})


@router.get("/fail/{kind}")
async def fail(kind: str) -> Response:
    raise getattr(errdefs, kind)("No such thing: x")


@router.get("/crash")
async def crash() -> Response:
    raise KeyError("oops")


@router.get("/typed")
async def typed(size: int) -> Response:
    return reply.json(size)


@router.post("/body")
async def body(request: Request) -> Response:
    return reply.json((await read_json(request, Asked)).model_dump())


started, ended = asyncio.Event(), asyncio.Event()


@router.get("/stream")
async def stream() -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            started.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    return reply.Stream(chunks(), "application/json")


async def ask(client: Client, request: str, content: str = "", media_type: str = "application/json") -> tuple[int, Any]:
    """Status and decoded body of one request, `GET /path` or so."""
    head = f"{request} HTTP/1.1\r\nHost: d\r\n"
    if content:
        head += f"Content-Length: {len(content)}\r\n"
    if media_type and request.startswith("POST"):
        head += f"Content-Type: {media_type}\r\n"
    client.send(f"{head}\r\n{content}".encode())
    lines = (await client.head()).split("\r\n")
    length = next((int(line.split()[1]) for line in lines if line.lower().startswith("content-length:")), 0)
    text = await client.exactly(length)
    return int(lines[0].split()[1]), json.loads(text) if text else None


def application() -> Any:
    return app.build(None, [router, absent.router])


@run
async def test_every_path_has_versions() -> None:
    async with serve(application()) as client:
        for prefix, version in (("", [1, 51]), ("/v1.24", [1, 24]), ("/v1.41", [1, 41]), ("/v1.24.1", [1, 24])):
            status, document = await ask(client, f"GET {prefix}/where")
            assert (status, document["version"]) == (200, version)


@run
async def test_other_versions_are_refused() -> None:
    async with serve(application()) as client:
        for version, text in (
            ("1.99", "client version 1.99 is too new. Maximum supported API version is 1.51"),
            ("2", "client version 2 is too new. Maximum supported API version is 1.51"),
            (
                "1.10",
                "client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client "
                "to a newer version",
            ),
        ):
            assert await ask(client, f"GET /v{version}/where") == (400, {"message": text})
        assert await ask(client, "GET /v1.99/nowhere") == (404, {"message": "page not found"})


@run
async def test_unknown_path_and_method_are_the_same() -> None:
    async with serve(application()) as client:
        for request in ("GET /nowhere", "POST /where", "GET /where/", "GET /v1.41", "DELETE /v1.41/where"):
            assert await ask(client, request) == (404, {"message": "page not found"}), request


@run
async def test_errors_become_messages() -> None:
    async with serve(application()) as client:
        assert await ask(client, "GET /fail/NotFound") == (404, {"message": "No such thing: x"})
        assert await ask(client, "GET /fail/Conflict") == (409, {"message": "No such thing: x"})
        assert await ask(client, "GET /fail/NotModified") == (304, None)
        assert await ask(client, "GET /crash") == (500, {"message": "KeyError: 'oops'"})
        status, document = await ask(client, "GET /typed?size=x")
        assert status == 400 and document["message"].startswith("invalid value for size: ")


@run
async def test_parameters_have_dockers_rules() -> None:
    async with serve(application()) as client:
        for value, true in (("1", True), ("maybe", True), ("0", False), ("False", False), ("none", False), ("", False)):
            assert (await ask(client, f"GET /where?all={value}"))[1]["all"] is true
        assert (await ask(client, "GET /where?limit=7"))[1]["limit"] == 7
        assert (await ask(client, "GET /where?limit="))[1]["limit"] is None
        assert (await ask(client, "GET /where?limit=x"))[0] == 400


@run
async def test_bodies_are_decoded() -> None:
    empty = {"Name": "", "Inner": None}
    async with serve(application()) as client:
        assert await ask(client, "POST /body", '{"Name": "x", "Other": 1}') == (200, {"Name": "x", "Inner": None})
        assert await ask(client, "POST /body", "null") == (200, empty)
        assert await ask(client, "POST /body") == (200, empty)
        assert await ask(client, "POST /body", media_type="") == (200, empty)


@run
async def test_bad_bodies_are_refused_in_dockers_words() -> None:
    bad = "invalid JSON"
    async with serve(application()) as client:
        for content, media_type, text in (
            ("{", "application/json", "invalid JSON: unexpected EOF"),
            (" ", "application/json", "invalid JSON: got EOF while reading request body"),
            ("{} {}", "application/json", "unexpected content after JSON"),
            ("{x}", "application/json", "invalid JSON: key must be a string at line 1 column 2"),
            ('{"Inner": {"Count": []}}', "application/json", f"{bad}: Inner.Count: Input should be a valid integer"),
            ("{}", "text/plain", "unsupported Content-Type header (text/plain): must be 'application/json'"),
            ("{}", "json", "malformed Content-Type header (json): mime: expected slash after first token"),
            ("{}", "", "malformed Content-Type header (): mime: no media type"),
        ):
            assert await ask(client, "POST /body", content, media_type) == (400, {"message": text}), content


@run
async def test_stream_flushes_and_ends_with_its_client() -> None:
    async with serve(application()) as client:
        client.send(b"GET /stream HTTP/1.1\r\nHost: d\r\n\r\n")
        head = await client.head()
        assert "Transfer-Encoding: chunked" in head and "Content-Type: application/json" in head
        assert await client.exactly(10) == b"5\r\nfirst\r\n"
        await asyncio.wait_for(started.wait(), 10)
        client.close()
        await asyncio.wait_for(ended.wait(), 10)


@run
async def test_what_is_absent_says_so() -> None:
    async with serve(application()) as client:
        for request in ("GET /swarm", "GET /nodes", "GET /services/x", "POST /secrets/create", "DELETE /configs/x"):
            assert await ask(client, request) == (503, {"message": absent.NO_MANAGER}), request
        assert await ask(client, "GET /plugins") == (200, [])
        assert await ask(client, "GET /plugins/a/b/json") == (404, {"message": 'plugin "a/b" not found'})
        assert (await ask(client, "POST /build"))[0] == 501
        assert (await ask(client, "POST /swarm/init"))[0] == 501
        assert await ask(client, "DELETE /containers/a/checkpoints/b") == (501, {"message": absent.NO_CHECKPOINT})


@pytest.mark.parametrize(("text", "version"), [("1.41", (1, 41)), ("2", (2, 0)), ("1.24.1", (1, 24)), ("1.", (1, 0))])
def test_versions_are_numbers(text: str, version: tuple[int, int]) -> None:
    assert app.parse_version(text) == version
