"""Routes of images: list, inspect, history, create (import), load, save, tag, delete, prune. Wire only."""

from collections.abc import AsyncIterator
from dataclasses import replace

from fastapi import APIRouter, Request, Response

from protos import heap
from protos.errdefs import EngineError, InvalidArgument
from services.dockerd import filters
from services.dockerd.images import delete, importing, inspect, load, platform, progress, reference, save
from services.dockerd.images import list as listing
from services.dockerd.images import tag as tagging
from services.dockerd.images.read import check_platform
from services.dockerd.images.store import Images
from services.dockerd.registry import credentials
from services.dockerd.web import query, reply
from services.dockerd.web.context import engine_of, version_of

router = APIRouter()


def _images(request: Request) -> Images:
    return engine_of(request).images


def _platform(request: Request) -> platform.Platform | None:
    return platform.from_json(request.query_params.get("platform", ""))


@router.get("/images/json")
async def list_images(request: Request) -> Response:
    wanted = filters.parse(request.query_params.get("filters"), listing.FILTERS)
    if name := request.query_params.get("filter"):  # before API 1.28
        wanted = filters.Filters(wanted.fields | {"reference": [name]})
    rows = await listing.list_images(_images(request), wanted, everything=query.flag(request, "all"))
    if version_of(request) >= (1, 44):
        for row in rows:
            del row["VirtualSize"]
    return reply.json(rows)


@router.get("/images/{name:path}/json")
async def inspect_image(request: Request, name: str) -> Response:
    document = await inspect.inspect(_images(request), name, _platform(request))
    version = version_of(request)
    if version >= (1, 44):
        del document["VirtualSize"]
    if version >= (1, 45):
        del document["Container"]
    return reply.json(document)


@router.get("/images/{name:path}/history")
async def history(request: Request, name: str) -> Response:
    return reply.json(await inspect.history(_images(request), name, _platform(request)))


@router.get("/images/{name:path}/get")
async def save_image(request: Request, name: str) -> Response:
    return reply.Stream(await save.save(_images(request), [name], _platform(request)), "application/x-tar")


@router.get("/images/get")
async def save_images(request: Request) -> Response:
    chosen = [each for names in request.query_params.getlist("names") for each in names.split(",") if each]
    if not chosen:
        raise InvalidArgument("no image names given: pass names=")
    return reply.Stream(await save.save(_images(request), chosen, _platform(request)), "application/x-tar")


@router.post("/images/load")
async def load_images(request: Request) -> Response:
    quiet = query.flag(request, "quiet")
    return await _streamed(load.load(_images(request), request.stream(), quiet=quiet, wanted=_platform(request)))


@router.post("/images/create")
async def create_image(request: Request) -> Response:
    """Pull (`fromImage`), or import a root file system (`fromSrc`)."""
    asked = request.query_params
    if asked.get("fromImage"):
        return await _pull(request)
    if not asked.get("fromSrc"):
        raise InvalidArgument("either fromImage or fromSrc is needed")
    target = tagging.target(asked["repo"], asked.get("tag", "")) if asked.get("repo") else None
    return await _streamed(_imported(request, target))


async def _pull(request: Request) -> Response:
    from services.dockerd.engine import registries  # its HTTP client takes 200 ms to load

    asked = request.query_params
    image, tag = asked["fromImage"], asked.get("tag", "")
    name = reference.parse(image)
    if tag:
        name = reference.parse(name.name + ("@" if ":" in tag else ":") + tag)
    elif name.tag and name.digest:
        name = replace(name, tag="")
    everything = not (name.tag or name.digest)
    who = credentials.header(request.headers.get("X-Registry-Auth", ""))
    return await _streamed(
        registries.pull_image(engine_of(request), name, asked.get("platform", ""), who, all_tags=everything)
    )


async def _imported(request: Request, target: reference.Reference | None) -> AsyncIterator[bytes]:
    asked = request.query_params
    source, wanted = asked["fromSrc"], asked.get("platform", "")
    body: AsyncIterator[bytes] = request.stream()
    if source != "-":
        from services.dockerd.engine import registries  # as above

        body = await _begun(registries.fetch(engine_of(request), source))
        yield progress.status(f"Downloading from {source}")
    image = await importing.import_image(
        _images(request), body, source=source, name=target, message=asked.get("message", ""),
        change=asked.getlist("changes"), wanted=platform.parse(wanted) if wanted else None,
    )
    yield progress.status(image.id)


@router.post("/images/{name:path}/tag")
async def tag_image(request: Request, name: str) -> Response:
    asked = request.query_params
    if digest := asked.get("digest"):  # ours, for `make adopt`
        await tagging.adopt(_images(request), name, f"{asked.get('repo', '')}@{digest}")
        return Response(status_code=201)
    await tagging.tag(_images(request), name, asked.get("repo", ""), asked.get("tag", ""))
    return Response(status_code=201)


@router.post("/images/{name:path}/push")
async def push_image(request: Request, name: str) -> Response:
    from services.dockerd.engine import registries  # as above

    target = reference.parse(name)
    if tag := request.query_params.get("tag", ""):
        target = reference.parse(f"{target.name}:{tag}")
    everything = not (target.tag or target.digest)
    if (wanted := _platform(request)) and str(target) in _images(request).tags:
        check_platform(_images(request).find(str(target)), target.familiar, wanted)
    who = credentials.header(request.headers.get("X-Registry-Auth", ""))
    return await _streamed(registries.push_image(engine_of(request), target, who, all_tags=everything))


@router.post("/images/prune")
async def prune_images(request: Request) -> Response:
    wanted = filters.parse(request.query_params.get("filters"), delete.PRUNE_FILTERS)
    report, won = await delete.prune(_images(request), wanted)
    return reply.json({"ImagesDeleted": report or None, "SpaceReclaimed": won})


@router.delete("/images/{name:path}")
async def delete_image(request: Request, name: str) -> Response:
    return reply.json(await delete.delete(
        _images(request), name, force=query.flag(request, "force"), prune=not query.flag(request, "noprune")
    ))


async def _begun(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same, once its first piece is there: what cannot be had at all fails before any answer begins."""
    first = await anext(body, b"")

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for piece in body:
            yield piece

    return whole()


async def _streamed(lines: AsyncIterator[bytes]) -> Response:
    """A stream of records. What fails before the first is an error status, later the stream's last record."""
    first = await anext(lines, b"")

    async def body() -> AsyncIterator[bytes]:
        yield first
        try:
            async for line in lines:
                yield line
        except EngineError as error:
            yield progress.failure(str(error))
        finally:
            heap.trim_soon()

    return reply.Stream(body(), "application/json")
