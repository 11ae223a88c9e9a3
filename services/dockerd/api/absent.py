"""Routes of what this engine does not have: swarm mode, plugins, builds, checkpoints. Each says so, with Docker's
status and text where Docker has one. `/grpc` and `/session` have no route: BuildKit's clients fall back on a plain 404.
"""

from typing import Final

from fastapi import APIRouter, Response

from protos.errdefs import NotFound, Unavailable, Unimplemented
from services.dockerd.web import reply

router = APIRouter()

NO_MANAGER: Final = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
NO_BUILD: Final = "building images is not implemented: build elsewhere and bring the image with `docker load`"
NO_CHECKPOINT: Final = "checkpoints are not implemented: `docker commit` keeps a container's files, not its processes"
_SWARM: Final = ("/services", "/nodes", "/tasks", "/secrets", "/configs")


async def no_manager() -> Response:
    raise Unavailable(NO_MANAGER)


for _path in ("/swarm", "/swarm/unlockkey", *_SWARM):
    router.add_api_route(_path, no_manager, methods=["GET"])
for _path in ("/swarm/update", "/swarm/unlock", "/services/create", "/secrets/create", "/configs/create"):
    router.add_api_route(_path, no_manager, methods=["POST"])
for _path in _SWARM:
    router.add_api_route(_path + "/{name}", no_manager, methods=["GET", "DELETE"])
    router.add_api_route(_path + "/{name}/update", no_manager, methods=["POST"])
    router.add_api_route(_path + "/{name}/logs", no_manager, methods=["GET"])


@router.post("/swarm/init")
@router.post("/swarm/join")
async def begin_swarm() -> Response:
    raise Unimplemented("swarm mode is not implemented: run one engine a machine")


@router.post("/swarm/leave")
async def leave_swarm() -> Response:
    raise Unavailable("This node is not part of a swarm")


@router.get("/plugins")
async def list_plugins() -> Response:
    return reply.json([])


@router.get("/plugins/privileges")
@router.post("/plugins/pull")
@router.post("/plugins/create")
async def no_plugins() -> Response:
    raise Unimplemented(
        "managed plugins are not implemented: run the plugin yourself, with its socket in /run/docker/plugins"
    )


@router.get("/plugins/{name:path}/json")
@router.post("/plugins/{name:path}/{verb}")
@router.delete("/plugins/{name:path}")
async def no_plugin(name: str) -> Response:
    raise NotFound(f'plugin "{name}" not found')


@router.post("/build")
async def build() -> Response:
    raise Unimplemented(NO_BUILD)


@router.post("/build/prune")
async def prune_builds() -> Response:
    return reply.json({"CachesDeleted": None, "SpaceReclaimed": 0})


@router.post("/build/cancel")
async def cancel_build() -> Response:
    raise Unimplemented(NO_BUILD)


@router.get("/containers/{name}/checkpoints")
@router.post("/containers/{name}/checkpoints")
@router.delete("/containers/{name}/checkpoints/{checkpoint}")
async def checkpoints() -> Response:
    raise Unimplemented(NO_CHECKPOINT)
