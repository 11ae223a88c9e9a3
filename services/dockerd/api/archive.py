"""Routes of `docker cp`: HEAD, GET and PUT of a container's archive. Wire only."""

from fastapi import APIRouter, Request, Response

from protos.errdefs import InvalidArgument
from services.dockerd.archive import files, pathstat
from services.dockerd.web.context import engine_of
from services.dockerd.web.query import flag
from services.dockerd.web.reply import Stream

router = APIRouter()

_STAT = "X-Docker-Container-Path-Stat"


def _path(request: Request) -> str:
    path = request.query_params.get("path", "")
    if not path:
        raise InvalidArgument("bad parameter: path cannot be empty")
    if "\0" in path:
        raise InvalidArgument("bad parameter: path holds a zero byte")
    return path


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
    await files.write(
        engine_of(request), name, _path(request), request.stream(),
        keep_kinds=flag(request, "noOverwriteDirNonDir"), own=flag(request, "copyUIDGID"),
    )
    return Response()
