"""Routes of volumes: list, create, inspect, remove, prune. Wire only."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from protos.errdefs import Unavailable
from services.dockerd import filters
from services.dockerd.schema.volume import VolumeCreate
from services.dockerd.volumes import prune
from services.dockerd.volumes.store import Volumes
from services.dockerd.web import decode, reply
from services.dockerd.web.context import engine_of, version_of
from services.dockerd.web.query import flag

router = APIRouter()

_LIST: Final = frozenset({"dangling", "name", "driver", "label"})


def _volumes(request: Request) -> Volumes:
    return engine_of(request).volumes


@router.get("/volumes")
async def list_volumes(request: Request) -> Response:
    wanted = filters.parse(request.query_params.get("filters"), _LIST)
    dangling = wanted.flag("dangling", False)
    volumes, warnings = await _volumes(request).listed()
    rows: list[dict[str, Any]] = []
    for volume in volumes:
        unused = "dangling" not in wanted or dangling is not bool(volume.users)
        named = wanted.match("name", volume.name) and wanted.exact("driver", volume.driver)
        if unused and named and wanted.labels("label", volume.labels or {}):
            rows.append(volume.to_api())
    return reply.json({"Volumes": rows, "Warnings": warnings or None})


@router.post("/volumes/create")
async def create_volume(request: Request) -> Response:
    asked = await decode.read_json(request, VolumeCreate)
    if asked.ClusterVolumeSpec is not None:
        raise Unavailable("This node is not a swarm manager: cluster volumes are not available.")
    volume, _ = await _volumes(request).create(
        asked.Name or "", asked.Driver or "", asked.DriverOpts, asked.Labels
    )
    return reply.json(volume.to_api(), 201)


@router.post("/volumes/prune")
async def prune_volumes(request: Request) -> Response:
    given = filters.parse(request.query_params.get("filters"), prune.FILTERS)
    removed, freed = await prune.prune(_volumes(request), given, anonymous_only=version_of(request) >= (1, 42))
    return reply.json({"VolumesDeleted": removed, "SpaceReclaimed": freed})


@router.get("/volumes/{name:path}")
async def inspect_volume(request: Request, name: str) -> Response:
    return reply.json((await _volumes(request).find(name)).to_api())


@router.put("/volumes/{name:path}")
async def update_volume(name: str) -> Response:
    raise Unavailable("This node is not a swarm manager: only cluster volumes can be updated.")


@router.delete("/volumes/{name:path}")
async def remove_volume(request: Request, name: str) -> Response:
    force = flag(request, "force")
    await _volumes(request).remove(name, force=force)
    return Response(status_code=204)
