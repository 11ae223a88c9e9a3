"""Answers to challenges, with a token server that is a function."""

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest

from protos.errdefs import PermissionDenied, Unauthenticated
from services.dockerd.registry.challenge import parse
from services.dockerd.registry.credentials import Credentials
from services.dockerd.registry.tokens import Answers

BEARER = parse(['Bearer realm="https://auth/token",service="reg"'])
BASIC = parse(['Basic realm="reg"'])
ALICE = Credentials("alice", "secret")
SCOPES = ("repository:a:pull",)


class Server:
    def __init__(self, **document: Any) -> None:
        self.body = json.dumps(document).encode()
        self.asked: list[tuple[str, dict[str, list[str]], dict[str, str], dict[str, str] | None]] = []

    async def __call__(
        self, url: str, *, query: Sequence[tuple[str, str]], headers: dict[str, str], form: dict[str, str] | None
    ) -> bytes:
        by_key: dict[str, list[str]] = {}
        for key, value in query:
            by_key.setdefault(key, []).append(value)
        self.asked.append((url, by_key, headers, form))
        return self.body


def answers(server: Server, credentials: Credentials = ALICE, **more: Any) -> Answers:
    return Answers(credentials, server, **more)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_basic_by_name_and_password() -> None:
    found = answers(Server())
    assert asyncio.run(found.header(SCOPES)) == ""
    assert asyncio.run(found.answer(BASIC, SCOPES)) == basic("alice:secret")
    assert asyncio.run(found.header(SCOPES)) == basic("alice:secret")
    assert asyncio.run(found.answer(BASIC, SCOPES)) == "", "the same answer is not given twice"


def test_nobody_has_no_answer_to_basic() -> None:
    assert asyncio.run(answers(Server(), Credentials()).answer(BASIC, SCOPES)) == ""


def test_a_token_is_asked_for_once_and_again_when_it_ends() -> None:
    now = [0.0]
    server = Server(token="t", expires_in=100)
    found = answers(server, clock=lambda: now[0])
    assert asyncio.run(found.answer(BEARER, SCOPES)) == "Bearer t"
    assert asyncio.run(found.header(SCOPES)) == "Bearer t"
    assert len(server.asked) == 1
    url, query, headers, form = server.asked[0]
    assert url == "https://auth/token" and form is None and headers == {"Authorization": basic("alice:secret")}
    assert query == {"service": ["reg"], "scope": list(SCOPES), "account": ["alice"]}
    now[0] = 95
    asyncio.run(found.header(SCOPES))
    assert len(server.asked) == 2


def test_other_scopes_need_other_tokens() -> None:
    server = Server(access_token="t")
    found = answers(server)
    asyncio.run(found.answer(BEARER, SCOPES))
    asyncio.run(found.header((*SCOPES, "repository:b:pull")))
    assert server.asked[1][1]["scope"] == ["repository:a:pull", "repository:b:pull"]


def test_a_refresh_token_is_posted() -> None:
    server = Server(access_token="t")
    asyncio.run(answers(server, Credentials(identity="refresh")).answer(BEARER, SCOPES))
    form = server.asked[0][3]
    assert form and form["grant_type"] == "refresh_token" and form["refresh_token"] == "refresh"


def test_a_login_asks_for_a_refresh_token() -> None:
    server = Server(token="t", refresh_token="r")
    found = answers(server, offline=True)
    asyncio.run(found.answer(BEARER, ()))
    assert found.refresh == "r" and server.asked[0][1]["offline_token"] == ["true"]


def test_a_given_token_is_shown_as_it_is() -> None:
    assert asyncio.run(answers(Server(), Credentials(token="mine")).header(())) == "Bearer mine"


def test_secrets_do_not_go_in_the_clear() -> None:
    clear = parse(['Bearer realm="http://auth/token"'])
    with pytest.raises(PermissionDenied, match="in the clear"):
        asyncio.run(answers(Server(token="t")).answer(clear, ()))
    assert asyncio.run(answers(Server(token="t"), Credentials()).answer(clear, ())) == "Bearer t"
    assert asyncio.run(answers(Server(token="t"), secure=False).answer(clear, ())) == "Bearer t"


@pytest.mark.parametrize("realm", ["file:///etc/passwd", "gopher://x", "auth"])
def test_odd_token_servers_are_refused(realm: str) -> None:
    with pytest.raises(Unauthenticated, match="unsupported token server"):
        asyncio.run(answers(Server(token="t")).answer(parse([f'Bearer realm="{realm}"']), ()))


@pytest.mark.parametrize("document", [{}, {"token": 1}, {"token": ""}, {"token": "a\nb"}])
def test_answers_without_a_token(document: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated, match="did not include a token"):
        asyncio.run(answers(Server(**document)).answer(BEARER, ()))


def test_credentials_are_not_printed() -> None:
    assert "secret" not in repr(ALICE)
