"""Routes of containers but for their streams: decode, call one verb, encode."""

from fastapi import APIRouter, Request, Response

from protos.errdefs import Conflict, InvalidArgument, NotFound
from services.dockerd import filters
from services.dockerd.engine import (
    commit,
    create,
    inspect,
    kill,
    links,
    pause,
    prune,
    remove,
    rename,
    resize,
    restart,
    start,
    stop,
    top,
    update,
    wait,
)
from services.dockerd.engine import list as listing
from services.dockerd.images import platform
from services.dockerd.schema.container import ContainerConfig, CreateRequest
from services.dockerd.schema.update import UpdateRequest
from services.dockerd.web.context import engine_of, version_of
from services.dockerd.web.decode import read_json
from services.dockerd.web.query import flag, number
from services.dockerd.web.reply import Stream, json

router = APIRouter()

_DONE = 204


@router.get("/containers/json")
async def list_containers(request: Request) -> Response:
    engine = engine_of(request)
    wanted = filters.parse(request.query_params.get("filters"), listing.ACCEPTED)
    chosen = listing.select(engine, wanted, everything=flag(request, "all"), limit=number(request, "limit", 0) or 0)
    sizes = {each.id: await inspect.sizes(engine, each) for each in chosen} if flag(request, "size") else None
    return Response(listing.encoded(engine, chosen, sizes), media_type="application/json")


@router.post("/containers/create")
async def create_container(request: Request) -> Response:
    body = await read_json(request, CreateRequest)
    name = request.query_params.get("name", "")
    wanted = request.query_params.get("platform", "")
    container, warnings = await create.create(
        engine_of(request), body, name, platform.parse(wanted) if wanted else None
    )
    return json({"Id": container.id, "Warnings": warnings}, 201)


@router.post("/containers/prune")
async def prune_containers(request: Request) -> Response:
    wanted = filters.parse(request.query_params.get("filters"), prune.ACCEPTED)
    return json(await prune.prune(engine_of(request), wanted))


@router.get("/containers/{reference}/json")
async def inspect_container(request: Request, reference: str) -> Response:
    engine = engine_of(request)
    container = engine.containers.get(reference)
    document = await inspect.complete(engine, container, version_of(request))
    if flag(request, "size"):
        document["SizeRw"], document["SizeRootFs"] = await inspect.sizes(engine, container)
    return json(document)


@router.get("/containers/{reference}/top")
async def top_container(request: Request, reference: str) -> Response:
    return json(await top.top(engine_of(request), reference, request.query_params.get("ps_args", "")))


@router.post("/containers/{reference}/start")
async def start_container(request: Request, reference: str) -> Response:
    body = await request.body()
    if len(body) > 2 or (body and body != b"{}"):
        raise InvalidArgument("starting container with non-empty request body was deprecated since API v1.22 and "
                              "removed in v1.24")
    if request.query_params.get("checkpoint"):
        raise InvalidArgument("checkpoint is only supported in experimental mode")
    await start.start(engine_of(request), reference)
    return Response(status_code=_DONE)


@router.post("/containers/{reference}/stop")
async def stop_container(request: Request, reference: str) -> Response:
    await stop.stop(engine_of(request), reference, timeout=number(request, "t"), signal=_signal(request))
    return Response(status_code=_DONE)


@router.post("/containers/{reference}/restart")
async def restart_container(request: Request, reference: str) -> Response:
    await restart.restart(engine_of(request), reference, timeout=number(request, "t"), signal=_signal(request))
    return Response(status_code=_DONE)


@router.post("/containers/{reference}/kill")
async def kill_container(request: Request, reference: str) -> Response:
    await kill.kill(engine_of(request), reference, _signal(request))
    return Response(status_code=_DONE)


def _signal(request: Request) -> str:
    return request.query_params.get("signal", "")


@router.post("/containers/{reference}/pause")
async def pause_container(request: Request, reference: str) -> Response:
    await pause.pause(engine_of(request), reference)
    return Response(status_code=_DONE)


@router.post("/containers/{reference}/unpause")
async def unpause_container(request: Request, reference: str) -> Response:
    await pause.unpause(engine_of(request), reference)
    return Response(status_code=_DONE)


@router.post("/containers/{reference}/rename")
async def rename_container(request: Request, reference: str) -> Response:
    await rename.rename(engine_of(request), reference, request.query_params.get("name", ""))
    return Response(status_code=_DONE)


@router.post("/containers/{reference}/update")
async def update_container(request: Request, reference: str) -> Response:
    changes = await read_json(request, UpdateRequest)
    warnings = await update.update(engine_of(request), reference, changes.model_dump(exclude_unset=True))
    return json({"Warnings": warnings or None})


@router.post("/containers/{reference}/resize")
async def resize_container(request: Request, reference: str) -> Response:
    await resize.resize(engine_of(request), reference, _size(request, "h"), _size(request, "w"))
    return Response(status_code=200)


def _size(request: Request, name: str) -> int:
    value = number(request, name, 0) or 0
    if not 0 <= value < 1 << 16:
        raise InvalidArgument(f'invalid resize {"height" if name == "h" else "width"} "{value}": value out of range')
    return value


@router.post("/containers/{reference}/wait")
async def wait_container(request: Request, reference: str) -> Response:
    """Headers go out at once: clients wait for them before they start the container."""
    ended = wait.wait(engine_of(request), reference, request.query_params.get("condition", ""))
    return Stream(wait.reply(ended), "application/json")


@router.post("/commit")
async def commit_container(request: Request) -> Response:
    config = await read_json(request, ContainerConfig)
    query = request.query_params
    wish = commit.Wish(
        repository=query.get("repo", ""), tag=query.get("tag", ""), author=query.get("author", ""),
        comment=query.get("comment", ""), changes=query.getlist("changes"), pause=flag(request, "pause", True))
    return json({"Id": await commit.commit(engine_of(request), query.get("container", ""), config, wish)}, 201)


@router.delete("/containers/{reference}")
async def remove_container(request: Request, reference: str) -> Response:
    if flag(request, "link"):
        engine_of(request).containers.get(reference)
        raise Conflict("Conflict, cannot remove the default link name of the container")
    await remove.remove(engine_of(request), reference, force=flag(request, "force"), volumes=flag(request, "v"))
    return Response(status_code=_DONE)


@router.delete("/containers/{owner}/{alias}")
async def remove_link(request: Request, owner: str, alias: str) -> Response:
    """The name of a link stands for the container that it leads to; only the link itself can be removed by it."""
    if not flag(request, "link"):
        raise NotFound(f"No such container: {owner}/{alias}")
    await links.unlink(engine_of(request), owner, alias)
    return Response(status_code=_DONE)
