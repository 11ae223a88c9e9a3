"""Routes of exec. A start that is not detached becomes a raw connection (web/hijack.py)."""

import contextlib

from fastapi import APIRouter, Request, Response

from protos.errdefs import EngineError, InvalidArgument
from services.dockerd.container.merge import listed
from services.dockerd.engine import attach, execs, inspect
from services.dockerd.engine.records import Exec
from services.dockerd.schema.exec import ExecConfig, ExecStart
from services.dockerd.web.context import engine_of
from services.dockerd.web.decode import read_json
from services.dockerd.web.hijack import hijack
from services.dockerd.web.query import number
from services.dockerd.web.reply import json

router = APIRouter()


@router.post("/containers/{reference}/exec")
async def create_exec(request: Request, reference: str) -> Response:
    body = await read_json(request, ExecConfig)
    attach.detach_keys(body.DetachKeys)
    made = Exec(
        id="", container_id="", cmd=listed(body.Cmd) or [], user=body.User, env=body.Env or [],
        workdir=body.WorkingDir, tty=body.Tty, privileged=body.Privileged, stdin=body.AttachStdin,
        stdout=body.AttachStdout, stderr=body.AttachStderr, detach_keys=body.DetachKeys, console=_console(body))
    return json({"Id": execs.create(engine_of(request), reference, made).id}, 201)


def _console(body: ExecConfig | ExecStart) -> tuple[int, int]:
    size = body.ConsoleSize
    return (size[0], size[1]) if size and len(size) == 2 else (0, 0)


@router.post("/exec/{exec_id}/start")
async def start_exec(request: Request, exec_id: str) -> Response:
    engine = engine_of(request)
    body = await read_json(request, ExecStart)
    subject, container = execs.check_start(engine, exec_id)
    if any(_console(body)):
        subject.console = _console(body)
    if body.Detach:
        await execs.start(engine, subject, container, None)
        return Response(status_code=200)
    if not (subject.stdin or subject.stdout or subject.stderr):
        raise InvalidArgument("no stream of the exec is attached: start it detached")
    subject.starting = True
    try:
        client = await hijack(request, tty=subject.tty)
    except BaseException:
        subject.starting = False
        raise
    with contextlib.suppress(EngineError):  # the client reads it in its stream
        await execs.start(engine, subject, container, client)
    return client.gone


@router.post("/exec/{exec_id}/resize")
async def resize_exec(request: Request, exec_id: str) -> Response:
    height, width = number(request, "h", 0) or 0, number(request, "w", 0) or 0
    if not (0 <= height < 1 << 16 and 0 <= width < 1 << 16):
        raise InvalidArgument(f"invalid size {height}x{width}: value out of range")
    await execs.resize(engine_of(request), exec_id, height, width)
    return Response(status_code=200)


@router.get("/exec/{exec_id}/json")
async def inspect_exec(request: Request, exec_id: str) -> Response:
    engine = engine_of(request)
    subject = execs.find(engine, exec_id)
    await execs.settled(subject)
    return json(inspect.inspect_exec(engine, subject))
