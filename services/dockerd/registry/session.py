"""HTTP to one address of a registry: challenges answered, redirects followed without secrets, every reply bounded."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from protos import errdefs
from services.dockerd.registry import certificates, challenge, errors, hosts
from services.dockerd.registry.credentials import Credentials
from services.dockerd.registry.hosts import Endpoint
from services.dockerd.registry.settings import Settings
from services.dockerd.registry.tokens import Answers

_HOPS: Final = 10
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=30, sock_read=60)
"""Seconds to connect, and that a peer may say nothing. What takes long while bytes come may take long."""
_WHOLE: Final = 300
"""Seconds that a body may take which is needed as a whole."""
_ERROR: Final = 64 << 10
"""Bytes of an error's body that are read."""
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_FAILURES: Final = (aiohttp.ClientError, TimeoutError, OSError)


class Session:
    """A context. `ask` answers with a reply that is a success, or raises Unreachable or Refused."""

    def __init__(self, endpoint: Endpoint, credentials: Credentials, settings: Settings) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self._tls: dict[str, ssl.SSLContext] = {}
        self._holders = 0
        self._left = False
        self.answers = Answers(credentials, self._token, secure=endpoint.scheme == "https")
        self._client = aiohttp.ClientSession(
            timeout=_TIMEOUT,
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding",),
            headers={"User-Agent": settings.agent, "Accept-Encoding": "identity"},
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=10),
        )

    async def __aenter__(self) -> "Session":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        await self._close_unheld()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep the session open beyond its context: a download goes on for others when its first asker leaves."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            await self._close_unheld()

    async def _close_unheld(self) -> None:
        if self._left and not self._holders:
            await self._client.close()

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        where: str,
        *,
        scopes: tuple[str, ...] = (),
        headers: dict[str, str] | None = None,
        data: Any = None,
        accept: Container[int] = (200,),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """`where` is relative to the address, or a URL it gave. `data` that can be sent once is not sent again."""
        url = urljoin(self.endpoint.base, where)
        again = data is None or isinstance(data, bytes)
        reply = await self._send(method, url, await self.answers.header(scopes), headers, data)
        try:
            if reply.status == 401 and again:
                found = challenge.parse(reply.headers.getall("WWW-Authenticate", []))
                if answer := await self.answers.answer(found, scopes):
                    reply.close()
                    reply = await self._send(method, url, answer, headers, data)
                elif any(each.scheme == "basic" for each in found) and not self.answers.credentials:
                    raise errors.without_credentials(method, url)
            if reply.status not in accept:
                found = challenge.parse(reply.headers.getall("WWW-Authenticate", []))
                raise errors.refused(reply.status, reply.reason or "", await self.body(reply, _ERROR, cut=True), found)
            yield reply
        finally:
            reply.close()

    async def ping(self) -> None:
        """Whether anybody is there, and how it wants to be asked. Unreachable, or Refused where it is no registry."""
        reply = await self._send("GET", self.endpoint.base, "", None, None)
        try:
            if reply.status == 401:
                self.answers.learn(challenge.parse(reply.headers.getall("WWW-Authenticate", [])))
            elif reply.status not in (200, 404):  # mirrors of a path may have no /v2/ of their own
                raise errors.refused(reply.status, reply.reason or "", await self.body(reply, _ERROR, cut=True))
        finally:
            reply.close()

    async def body(self, reply: aiohttp.ClientResponse, limit: int, *, cut: bool = False) -> bytes:
        """A small body as a whole; more than `limit` bytes are an error, or cut off."""
        data = bytearray()
        try:
            async with asyncio.timeout(_WHOLE):
                async for piece in reply.content.iter_any():
                    data += piece
                    if len(data) > limit:
                        if cut:
                            break
                        raise errdefs.InvalidArgument(
                            f"{reply.url}: the registry's answer is larger than {limit} bytes"
                        )
        except _FAILURES as error:
            raise errors.unreachable(reply.method, str(reply.url), error) from error
        return bytes(data[:limit])

    async def pieces(self, url: str) -> AsyncIterator[bytes]:
        """A body of any length as it comes."""
        async with self.ask("GET", url, accept=range(600)) as reply:
            if reply.status != 200:
                said = (await self.body(reply, _ERROR, cut=True)).decode(errors="replace")
                raise errdefs.InvalidArgument(f"failed to GET {url} with status {reply.status} {reply.reason}: {said}")
            try:
                async for piece in reply.content.iter_any():
                    yield piece
            except _FAILURES as error:
                raise errors.unreachable("GET", url, error) from error

    async def _send(
        self, method: str, url: str, authorization: str, headers: dict[str, str] | None, data: Any,
        home: tuple[str, str] | None = None,
    ) -> aiohttp.ClientResponse:
        """One request with the redirects behind it.

        Secrets go to the address that asked for them, no further: not to where it says that uploads and lists go on.
        """
        own, asked = _origin(self.endpoint.base), url
        if _origin(url) != own:
            await _routable(url, f"{self.endpoint.base} names")
        for _ in range(_HOPS):
            sent = dict(self.endpoint.headers if _origin(asked) == own else ()) | (headers or {})
            if authorization and _origin(asked) == (home or own):
                sent["Authorization"] = authorization
            reply = await self._once(method, asked, sent, data)
            target = reply.headers.get("Location", "")
            if reply.status not in _REDIRECTS or method not in ("GET", "HEAD") or not target:
                return reply
            reply.close()
            asked = await self._redirected(asked, target)
        raise errors.Refused(f'{method.capitalize()} "{url}": stopped after {_HOPS} redirects', 508)

    async def _redirected(self, source: str, target: str) -> str:
        url = urljoin(source, target)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise errors.Refused(f'Get "{source}": redirect to {url!r}: unsupported protocol scheme', 400)
        if _origin(url) != _origin(source):
            await _routable(url, f'Get "{source}": redirect to')
        return url

    async def _once(self, method: str, url: str, headers: dict[str, str], data: Any) -> aiohttp.ClientResponse:
        parts = urlsplit(url)
        try:
            return await self._client.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=data,
                allow_redirects=False,
                ssl=self._context(parts.netloc) if parts.scheme == "https" else True,
                proxy=self.settings.proxies.of(parts.scheme, parts.netloc) or None,
            )
        except _FAILURES as error:
            raise errors.unreachable(method, url, error) from error
        except ValueError as error:
            raise errors.Unreachable(f'{method.capitalize()} "{url}": {error}') from error

    def _context(self, host: str) -> ssl.SSLContext:
        """Certificates are checked of every host but the insecure registry itself."""
        if host not in self._tls:
            own = host == self.endpoint.host
            self._tls[host] = certificates.context(
                host,
                verify=self.endpoint.verify or not own,
                directory=self.settings.certificates,
                authorities=self.endpoint.authorities if own else (),
                pairs=self.endpoint.pairs if own else (),
            )
        return self._tls[host]

    async def _token(
        self, url: str, *, query: Sequence[tuple[str, str]], headers: dict[str, str], form: dict[str, str] | None
    ) -> bytes:
        full = str(URL(url).update_query(list(query)) if query else URL(url))
        async with asyncio.timeout(60):
            reply = await self._send(
                "POST" if form else "GET", full, headers.pop("Authorization", ""), headers, form, home=_origin(full)
            )
            async with reply:
                if reply.status != 200:
                    raise errors.refused(reply.status, reply.reason or "", await self.body(reply, _ERROR, cut=True))
                return await self.body(reply, 1 << 20)


async def _routable(url: str, what: str) -> None:
    """Refuse an address that only this machine's neighbourhood has: at such a one clouds give out secrets."""
    for address in await hosts.addresses(urlsplit(url).hostname or ""):
        if address.is_link_local:
            raise errors.Refused(f"{what} the link-local address {address} refused", 403)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
