"""Routes that stream a container's output: attach (a raw connection) and logs."""

import time

from fastapi import APIRouter, Request, Response

from protos.errdefs import InvalidArgument
from services.dockerd.container import stamp
from services.dockerd.engine import attach, logs
from services.dockerd.logger.query import Query
from services.dockerd.web.context import engine_of, version_of
from services.dockerd.web.hijack import MULTIPLEXED, RAW, Gone, hijack, upgrade_to_websocket
from services.dockerd.web.query import flag
from services.dockerd.web.reply import Stream

router = APIRouter()


def _wish(request: Request, *, framed: bool) -> attach.Wish:
    return attach.Wish(
        stdin=flag(request, "stdin"), stdout=flag(request, "stdout"), stderr=flag(request, "stderr"),
        logs=flag(request, "logs"), stream=flag(request, "stream"),
        keys=attach.detach_keys(request.query_params.get("detachKeys")), framed=framed)


@router.post("/containers/{reference}/attach")
async def attach_container(request: Request, reference: str) -> Response:
    engine = engine_of(request)
    wish = _wish(request, framed=True)
    container = attach.check(engine, reference)
    await request.body()
    client = await hijack(request, tty=container.config.Tty)
    await attach.attach(engine, container, client, wish)
    return client.gone


@router.get("/containers/{reference}/attach/ws")
async def attach_websocket(request: Request, reference: str) -> Response:
    engine = engine_of(request)
    wish = _wish(request, framed=False)
    container = attach.check(engine, reference)
    client = await upgrade_to_websocket(request)
    await attach.attach(engine, container, client, wish)
    return Gone()


@router.get("/containers/{reference}/logs")
async def container_logs(request: Request, reference: str) -> Response:
    engine = engine_of(request)
    query = Query(
        stdout=flag(request, "stdout"), stderr=flag(request, "stderr"), since=_time(request, "since"),
        until=_time(request, "until"), tail=_tail(request), follow=flag(request, "follow"),
        timestamps=flag(request, "timestamps"), details=flag(request, "details"))
    chunks = logs.logs(engine, reference, query)
    tty = engine.containers.get(reference).config.Tty
    media_type = MULTIPLEXED if not tty and version_of(request) >= (1, 42) else RAW
    return Stream(chunks, media_type)


def _time(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if text in ("", "0"):
        return 0
    try:
        return stamp.moment(text, time.time_ns())
    except ValueError as error:
        raise InvalidArgument(f'invalid value for "{name}": {error}') from error


def _tail(request: Request) -> int:
    text = request.query_params.get("tail", "all")
    return int(text) if text.isdecimal() else -1
