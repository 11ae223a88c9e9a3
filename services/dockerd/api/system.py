"""Routes of the engine as a whole: ping, version, info, disk usage. Wire only; events are in events.py."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from protos.errdefs import InvalidArgument
from services.dockerd import disk, info, versions
from services.dockerd.web import reply
from services.dockerd.web.context import engine_of, version_of

router = APIRouter()

_KINDS: Final = ("container", "image", "volume", "build-cache")


@router.api_route("/_ping", methods=["GET", "HEAD"])
async def ping() -> Response:
    """For what web/fast.py leaves: a ping with a body, or on a connection that closes."""
    headers = {
        "Builder-Version": "1", "Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache",
        "Swarm": "inactive",
    }
    return Response("OK", 200, headers, "text/plain; charset=utf-8")


@router.get("/version")
async def version(request: Request) -> Response:
    engine = engine_of(request)
    return reply.json(await versions.version(engine.config, engine.client))


@router.get("/info")
async def show_info(request: Request) -> Response:
    return reply.json(await info.info(engine_of(request), version_of(request)))


@router.get("/system/df")
async def disk_usage(request: Request) -> Response:
    engine = engine_of(request)
    kinds = request.query_params.getlist("type") or _KINDS
    if unknown := [kind for kind in kinds if kind not in _KINDS]:
        raise InvalidArgument(f"unknown object type: {unknown[0]}")
    document: dict[str, Any] = {"LayersSize": 0, "Images": None, "Containers": None, "Volumes": None}
    if "image" in kinds:
        document["Images"], document["LayersSize"] = await disk.images(engine)
    if "container" in kinds:
        document["Containers"] = await disk.containers(engine)
    if "volume" in kinds:
        document["Volumes"] = await disk.volumes(engine)
    document["BuildCache"] = [] if "build-cache" in kinds else None
    if version_of(request) < (1, 42):
        document["BuilderSize"] = 0
    elif version_of(request) < (1, 44):
        for image in document["Images"] or []:
            image.setdefault("VirtualSize", image["Size"])
    return reply.json(document)
