"""Routes of a container's files: HEAD, GET and PUT of its archive (`docker cp`), changes, export. Wire only."""

from collections.abc import AsyncIterator
from typing import Final

from fastapi import APIRouter, Request, Response

from protos.errdefs import EngineError, InvalidArgument
from services.dockerd.archive import changes, files, pathstat
from services.dockerd.web.context import engine_of
from services.dockerd.web.query import flag
from services.dockerd.web.reply import Stream, json

router = APIRouter()

_PATIENCE: Final = 256 << 10
_STAT: Final = "X-Docker-Container-Path-Stat"


def _path(request: Request) -> str:
    path = request.query_params.get("path", "")
    if not path:
        raise InvalidArgument("bad parameter: path cannot be empty")
    if "\0" in path:
        raise InvalidArgument("bad parameter: path holds a zero byte")
    return path


@router.get("/containers/{name}/changes")
async def list_changes(request: Request, name: str) -> Response:
    return json(await changes.changes(engine_of(request), name) or None)


@router.get("/containers/{name}/export")
async def export(request: Request, name: str) -> Response:
    return Stream(await files.export(engine_of(request), name), "application/octet-stream")


@router.head("/containers/{name}/archive")
async def stat_path(request: Request, name: str) -> Response:
    described = await files.describe(engine_of(request), name, _path(request))
    return Response(headers={_STAT: pathstat.header(described)})


@router.get("/containers/{name}/archive")
async def read_archive(request: Request, name: str) -> Response:
    described, archive = await files.read(engine_of(request), name, _path(request))
    return Stream(archive, "application/x-tar", headers={_STAT: pathstat.header(described)})


@router.put("/containers/{name}/archive")
async def write_archive(request: Request, name: str) -> Response:
    body = request.stream()
    try:
        await files.write(
            engine_of(request), name, _path(request), body,
            keep_kinds=flag(request, "noOverwriteDirNonDir"), own=flag(request, "copyUIDGID"),
        )
    except EngineError:
        await _drain(body)
        raise
    return Response()


async def _drain(body: AsyncIterator[bytes]) -> None:
    """Take a bit of what is still coming, so that a client with little to send reads the refusal and not a reset."""
    left = _PATIENCE
    async for chunk in body:
        left -= len(chunk)
        if left < 0:
            return
