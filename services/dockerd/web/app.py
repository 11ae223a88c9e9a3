"""The application: every router of api/, each path as /x and as /v1.NN/x, errors as Docker words them.

Built once the daemon is ready, since FastAPI costs more to import than all the rest; web/fast.py answers before.
"""

import functools
import itertools
import logging
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protos.errdefs import EngineError, InvalidArgument
from protos.log import container_var, request_var
from services.dockerd import errors
from services.dockerd.metrics import meter
from services.dockerd.release import NEWEST, OLDEST, Version
from services.dockerd.web import reply

if TYPE_CHECKING:
    from services.dockerd.engine.engine import Engine

log = logging.getLogger("api")

_LIFE: Final = os.urandom(2).hex()
"""Tells the requests of this daemon from those of the last one."""
_numbers = itertools.count(1)
_VERSIONED: Final = re.compile(r"/v([0-9][0-9.]*)(/.*)")


def build(engine: "Engine | None", routers: list[APIRouter], oldest: Version = OLDEST) -> ASGIApp:
    """The ASGI application over `engine`, serving `routers` in their order, to API versions from `oldest` on."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.engine = engine
    app.router = table = Table(routers)
    app.add_exception_handler(EngineError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unknown)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(Exception, _crashed)
    return Versions(app, table, oldest, functools.partial(_subject, engine))


def _subject(engine: "Engine | None", path: str) -> str:
    """The container that a path is about, by the short form of its id; "" where there is none."""
    kind, _, rest = path[1:].partition("/")
    name = rest.partition("/")[0]
    if engine is None or not name or kind not in ("containers", "exec"):
        return ""
    if kind == "exec":
        return engine.execs[name].container_id[:12] if name in engine.execs else ""
    try:
        found = engine.containers.find(name)
    except EngineError:
        return ""
    return found.short if found else ""


class Table(APIRouter):
    """All routes by method and first part of the path: to ask each of a hundred in turn takes 0.2 ms."""

    def __init__(self, routers: list[APIRouter]) -> None:
        super().__init__(redirect_slashes=False)
        self._index: defaultdict[tuple[str, str], list[APIRoute]] = defaultdict(list)
        for route in (route for router in routers for route in router.routes):
            assert isinstance(route, APIRoute)
            for method in route.methods or ():
                self._index[method, first_part(route.path)].append(route)

    def find(self, scope: Scope) -> tuple[APIRoute | None, Scope]:
        """The route that answers, and what it adds to the scope."""
        for route in self._index.get((scope["method"], first_part(scope["path"])), ()):
            match, found = route.matches(scope)
            if match is Match.FULL:
                return route, found
        return None, {}

    def kind(self, scope: Scope) -> tuple[str, str]:
        """Method and first part of the path, of those there are."""
        asked = scope["method"], first_part(scope["path"])
        return asked if asked in self._index else ("other", "other")

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        route, found = self.find(scope)
        if route is None:
            raise HTTPException(404)
        scope.update(found)
        await route.handle(scope, receive, send)


def first_part(path: str) -> str:
    """`containers` of `/containers/json`."""
    return path[1:].partition("/")[0]


class Versions:
    """The boundary: says in the log what follows belongs to, takes the version out of the path (`scope["version"]`) and
    refuses, in Docker's words, one that is not spoken."""

    def __init__(self, app: ASGIApp, table: Table, oldest: Version, subject: Callable[[str], str]) -> None:
        self.app = app
        self.table = table
        self.oldest = oldest
        self.subject = subject

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sink = meter.sink()
        if sink is None:
            return await self._serve(scope, receive, send)
        began, status = time.perf_counter(), "hijacked"

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            return await self._serve(scope, receive, told)
        finally:
            sink.seconds("api_requests", time.perf_counter() - began, *self.table.kind(scope), status)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        found = _VERSIONED.fullmatch(path)
        request_var.set(f"{_LIFE}-{next(_numbers):x}")
        container_var.set(self.subject(found[2] if found else path))
        if log.isEnabledFor(logging.DEBUG):
            query = scope["query_string"].decode("latin-1")
            log.debug("calling method=%s path=%s query=%s", scope["method"], path, query)
        scope["version"] = NEWEST
        if found:
            scope["path"] = found[2]
            problem = refusal(found[1], self.oldest)
            if problem and self.table.find(scope)[0]:
                return await reply.error(problem, 400)(scope, receive, send)
            scope["version"] = parse_version(found[1])
        await self.app(scope, receive, send)
        return None


def parse_version(text: str) -> Version:
    """(1, 41) of `1.41`; what follows a second dot is ignored, as Docker does."""
    major, minor, *_ = [int(part or 0) for part in f"{text}.0".split(".")]
    return major, minor


def refusal(text: str, oldest: Version) -> str:
    """Why an API version cannot be served, or ""."""
    version = parse_version(text)
    if version > NEWEST:
        return f"client version {text} is too new. Maximum supported API version is {show(NEWEST)}"
    if version < oldest:
        return (
            f"client version {text} is too old. Minimum supported API version is {show(oldest)}, "
            "please upgrade your client to a newer version"
        )
    return ""


def show(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


async def _refused(request: Request, error: Exception) -> Response:
    log.log(errors.level(error), "request refused method=%s path=%s error=%s", request.method, request.url.path, error)
    return reply.error(str(error), errors.status(error))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:])
    return await _refused(request, InvalidArgument(f"invalid value for {name}: {first['msg']}"))


async def _unknown(request: Request, error: Exception) -> Response:
    """A path or method that no route has: Docker has one text for both."""
    return reply.error("page not found", 404)


async def _left(request: Request, error: Exception) -> Response:
    return await _refused(request, InvalidArgument("the client left before its request was complete"))


async def _crashed(request: Request, error: Exception) -> Response:
    # The server logs it with its stack: this handler's caller raises it again.
    return reply.error(f"{type(error).__name__}: {error}", 500)
