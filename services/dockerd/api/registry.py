"""Routes that ask registries: login, the descriptor of a name, search. Wire only."""

from fastapi import APIRouter, Request, Response

from protos.errdefs import InvalidArgument
from services.dockerd import filters
from services.dockerd.images import reference
from services.dockerd.registry import credentials
from services.dockerd.web import query, reply
from services.dockerd.web.context import engine_of

router = APIRouter()

_FILTERS = frozenset({"is-official", "is-automated", "stars"})


@router.post("/auth")
async def log_in(request: Request) -> Response:
    from services.dockerd.engine import registries  # its HTTP client takes 200 ms to load

    try:
        document = await request.json()
    except ValueError as error:
        raise InvalidArgument(f"invalid JSON: {error}") from error
    return reply.json(await registries.log_in(engine_of(request), credentials.of(document)))


@router.get("/distribution/{name:path}/json")
async def describe(request: Request, name: str) -> Response:
    from services.dockerd.engine import registries  # as above

    target = reference.parse(name).tagged()
    who = credentials.header(request.headers.get("X-Registry-Auth", ""))
    return reply.json(await registries.describe(engine_of(request), target, who))


@router.get("/images/search")
async def search(request: Request) -> Response:
    from services.dockerd.engine import registries  # as above

    asked = request.query_params
    if not asked.get("term"):
        raise InvalidArgument("invalid search term: it is empty")
    wanted = filters.parse(asked.get("filters"), _FILTERS)
    who = credentials.header(request.headers.get("X-Registry-Auth", ""))
    rows = await registries.search_index(
        engine_of(request), asked["term"], query.number(request, "limit", 0) or 0, dict(wanted.fields), who
    )
    return reply.json(rows)
