"""Authorization plugins: each request is shown to them before it is executed, each reply before it is sent.

A JSON body is shown whole, the very bytes that the application then reads; one that is too long is denied. Others
(archives) are not shown, as in Docker. Streams and hijacked connections are asked about once, before their head.
"""

import base64
import json
import logging
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from protos.errdefs import EngineError, InvalidArgument, PermissionDenied, Unknown
from services.dockerd import errors
from services.dockerd.plugins.plugin import PATIENCE
from services.dockerd.plugins.registry import Plugins
from services.dockerd.web.asgi import ASGIApp, Message, Receive, Scope, Send
from services.dockerd.web.heads import Header

log = logging.getLogger("authz")

KIND: Final = "authz"
REQUEST: Final = "AuthZPlugin.AuthZReq"
RESPONSE: Final = "AuthZPlugin.AuthZRes"
LIMIT: Final = 4 << 20
"""Bytes of a body that is shown, as Docker's own limit."""
TIMEOUT: Final = 60.0
_SECRET: Final = frozenset((b"authorization", b"x-registry-config", b"x-registry-auth"))
_FRAMING: Final = frozenset((b"host", b"transfer-encoding"))
_LOGIN: Final = re.compile(r"(/v[0-9.]+)?/auth")
"""Carries a password, which is no plugin's business."""


class Authorized:
    """The application behind `names()`; without any it is the application itself."""

    def __init__(self, app: ASGIApp, plugins: Plugins, names: Callable[[], tuple[str, ...]]) -> None:
        self._app = app
        self._plugins = plugins
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._names():
            return await self._app(scope, receive, send)
        return await _Case(self._ask, scope, receive, send).serve(self._app)

    async def _ask(self, method: str, document: dict[str, Any]) -> None:
        """PermissionDenied by the first that does not allow it; Unknown where one cannot be asked."""
        for name in dict.fromkeys(self._names()):
            try:
                plugin = await self._plugins.get(name, KIND)
                answer = await plugin.ask(method, document, timeout=TIMEOUT)
            except EngineError as error:
                raise Unknown(f"plugin {name} failed with error: {error}") from error
            if problem := answer.get("Err"):
                raise Unknown(f"plugin {name} failed with error: {problem}")
            if answer.get("Allow") is not True:
                raise PermissionDenied(f"authorization denied by plugin {name}: {answer.get('Msg') or ''}")


async def validate(plugins: Plugins, names: Iterable[str], patience: float = PATIENCE) -> None:
    """Before the API opens: all of them answer, or the daemon does not start."""
    for name in names:
        try:
            await plugins.get(name, KIND, patience=patience, await_file=True)
        except EngineError as error:
            raise type(error)(f"error validating authorization plugin: {error}") from error


class _Case:
    """One request and its reply."""

    def __init__(self, ask: Callable[[str, dict[str, Any]], Any], scope: Scope, receive: Receive, send: Send) -> None:
        self._ask = ask
        self._scope = scope
        self._outer_receive = receive
        self._outer_send = send
        self._document = _describe(scope)
        self._body: bytes | None = None
        """What was shown, until the application reads it."""
        self._start: Message | None = None
        """The head of a reply that is not allowed yet."""
        self._asked = False
        """The plugins have spoken about the reply."""
        self._refused = False

    async def serve(self, app: ASGIApp) -> None:
        try:
            await self._read()
            await self._ask(REQUEST, self._document)
        except EngineError as error:
            return await self._refuse(error)
        self._hijack = self._scope["extensions"]["hijack"]
        self._scope["extensions"]["hijack"] = self._take
        return await app(self._scope, self._receive, self._send)

    async def _read(self) -> None:
        """The body, if it is one that is shown, into the document."""
        kinds = [value for name, value in self._scope["headers"] if name == b"content-type"]
        if len(kinds) > 1:
            raise InvalidArgument("authorization denied: the request has several Content-Type headers")
        if not _shown(kinds[0] if kinds else b"") or _LOGIN.fullmatch(self._scope["path"]):
            return
        pieces, size, more = [], 0, True
        while more:
            message = await self._outer_receive()
            if message["type"] == "http.disconnect":
                raise InvalidArgument("the client left before its request was complete")
            pieces.append(message["body"])
            size += len(message["body"])
            more = message["more_body"]
            if size > LIMIT:
                raise PermissionDenied(
                    f"authorization denied: the request's body is longer than the {LIMIT} bytes that plugins are shown"
                )
        self._body = b"".join(pieces)
        if self._body:
            self._document["RequestBody"] = _base64(self._body)

    async def _receive(self) -> Message:
        if self._body is None:
            return await self._outer_receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: Message) -> None:
        if self._refused:
            raise ConnectionAbortedError("the reply was denied")
        if self._asked:
            await self._outer_send(message)
        elif message["type"] == "http.response.start":
            counted = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            if counted:
                self._start = message
            else:
                await self._pass(message)  # a stream, whose client waits for the head
        elif self._start:
            await self._pass(self._start, message)

    async def _pass(self, start: Message, body: Message | None = None) -> None:
        self._start = None
        headers = [(name.lower(), value) for name, value in start.get("headers", ())]
        try:
            await self._ask_back(start["status"], headers, body.get("body", b"") if body else b"")
        except EngineError as error:
            return await self._refuse(error)
        await self._outer_send(start)
        if body:
            await self._outer_send(body)
        return None

    async def _ask_back(self, status: int, headers: list[Header], body: bytes) -> None:
        self._asked = True
        self._document |= {"ResponseStatusCode": status, "ResponseHeaders": _headers(headers)}
        if body and _shown(dict(headers).get(b"content-type", b"")):
            self._document["ResponseBody"] = _base64(body)
        await self._ask(RESPONSE, self._document)

    async def _take(self, upgrade: bool, media_type: str, accept: str = "") -> Any:
        await self._ask_back(101 if upgrade else 200, [(b"content-type", media_type.encode())], b"")
        return await self._hijack(upgrade, media_type, accept)

    async def _refuse(self, error: EngineError) -> None:
        self._refused = True
        method, path = self._scope["method"], self._scope["path"]
        log.log(errors.level(error), "request refused method=%s path=%s error=%s", method, path, error)
        body = json.dumps({"message": str(error)}).encode() + b"\n"
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self._outer_send({"type": "http.response.start", "status": errors.status(error), "headers": headers})
        await self._outer_send({"type": "http.response.body", "body": body, "more_body": False})


def _describe(scope: Scope) -> dict[str, Any]:
    """The document of AuthZReq without a body; what is empty is left out, as Docker does."""
    query = scope["query_string"].decode("latin-1")
    document = {
        "RequestMethod": scope["method"],
        "RequestUri": scope["raw_path"].decode("latin-1") + (f"?{query}" if query else ""),
        "RequestHeaders": _headers(each for each in scope["headers"] if each[0] not in _FRAMING),
    }
    info = scope["extensions"]["connection"]
    if peer := info("peercert"):
        names = [value for group in peer["subject"] for key, value in group if key == "commonName"]
        document |= {"User": names[-1] if names else "", "UserAuthNMethod": "TLS"}
        document["RequestPeerCertificates"] = [_base64(info("peercert_pem").encode())]
    return {key: value for key, value in document.items() if value}


def _headers(headers: Iterable[Header]) -> dict[str, str]:
    """Without credentials; the last value of a name that comes again."""
    return {
        name.decode("latin-1").title(): value.decode("latin-1")
        for name, value in headers
        if name.lower() not in _SECRET
    }


def _shown(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"application/json"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
