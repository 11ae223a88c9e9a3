"""Answers to challenges: `Basic` by name and password, `Bearer` by a token of the registry's own token server.

Tokens are kept until shortly before they expire. Source: the distribution project's token and oauth2 specifications.
"""

import base64
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from protos.errdefs import PermissionDenied, Unauthenticated
from services.dockerd.registry.challenge import Challenge
from services.dockerd.registry.credentials import Credentials

_MARGIN: Final = 10.0
"""Seconds before its end that a token is renewed."""
_LEAST: Final = 60.0
"""Seconds a token lasts where its server does not say."""
CLIENT: Final = "docker"


class Fetch(Protocol):
    """Asks a token server; the body of its answer. A form makes it a POST."""

    def __call__(
        self, url: str, *, query: Sequence[tuple[str, str]], headers: dict[str, str], form: dict[str, str] | None
    ) -> Awaitable[bytes]: ...


@dataclass(slots=True)
class _Token:
    value: str
    expires: float


@dataclass
class Answers:
    """The answers of one client to one registry."""

    credentials: Credentials
    fetch: Fetch
    secure: bool = True
    """Whether the registry was asked over TLS: its token server then must be too."""
    offline: bool = False
    """Ask for a refresh token as well, as a login does."""
    refresh: str = ""
    """The refresh token that was given."""
    clock: Callable[[], float] = time.monotonic
    _basic: bool = False
    _bearer: Challenge | None = None
    _tokens: dict[tuple[str, ...], _Token] = field(default_factory=dict)

    async def header(self, scopes: tuple[str, ...]) -> str:
        """The `Authorization` to send with a first try; empty before any challenge."""
        if self.credentials.token:
            return f"Bearer {self.credentials.token}"
        if self._basic:
            return self._plain()
        if self._bearer is not None:
            return await self._token(self._bearer, scopes)
        return ""

    def learn(self, challenges: list[Challenge]) -> None:
        """Remember how a registry wants to be answered, ahead of the first question."""
        for challenge in challenges:
            if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                self._bearer = challenge
                return
        self._basic = bool(self.credentials.username) and any(each.scheme == "basic" for each in challenges)

    async def answer(self, challenges: list[Challenge], scopes: tuple[str, ...]) -> str:
        """The `Authorization` for a request that was challenged; empty where there is no answer."""
        for challenge in challenges:
            if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                self._bearer = challenge
                asked = tuple(challenge.parameters.get("scope", "").split())
                self._tokens.clear()
                return await self._token(challenge, scopes or asked)
        for challenge in challenges:
            if challenge.scheme == "basic" and self.credentials.username and not self._basic:
                self._basic = True
                return self._plain()
        return ""

    def _plain(self) -> str:
        pair = f"{self.credentials.username}:{self.credentials.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()

    async def _token(self, challenge: Challenge, scopes: tuple[str, ...]) -> str:
        known = self._tokens.get(scopes)
        if known is None or known.expires <= self.clock():
            known = self._tokens[scopes] = await self._ask(challenge, scopes)
        return f"Bearer {known.value}"

    async def _ask(self, challenge: Challenge, scopes: tuple[str, ...]) -> _Token:
        realm, service = challenge.parameters["realm"], challenge.parameters.get("service", "")
        if not realm.startswith(("https://", "http://")):
            raise Unauthenticated(f"unsupported token server of the registry: {realm}")
        if self.credentials and self.secure and not realm.startswith("https://"):
            raise PermissionDenied(f"credentials are not sent in the clear to the registry's token server {realm}")
        if self.credentials.identity:
            form = {"grant_type": "refresh_token", "refresh_token": self.credentials.identity, "service": service,
                    "scope": " ".join(scopes), "client_id": CLIENT}
            return self._read(await self.fetch(realm, query=(), headers={}, form=form))
        query = [("service", service)] if service else []
        query += [("scope", scope) for scope in scopes]
        headers = {}
        if self.credentials.username:
            query.append(("account", self.credentials.username))
            headers["Authorization"] = self._plain()
        if self.offline:
            query += [("offline_token", "true"), ("client_id", CLIENT)]
        return self._read(await self.fetch(realm, query=query, headers=headers, form=None))

    def _read(self, body: bytes) -> _Token:
        try:
            document: Any = json.loads(body)
            value = document.get("token") or document.get("access_token")
        except (ValueError, AttributeError, RecursionError) as error:
            raise Unauthenticated("unable to decode token response") from error
        if not isinstance(value, str) or not value or not value.isprintable():
            raise Unauthenticated("authorization server did not include a token in the response")
        lasts = document.get("expires_in")
        seconds = max(float(lasts), _LEAST) if isinstance(lasts, int | float) and lasts > 0 else _LEAST
        if isinstance(document.get("refresh_token"), str):
            self.refresh = document["refresh_token"]
        return _Token(value, self.clock() + seconds - _MARGIN)
