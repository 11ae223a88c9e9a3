"""GET /events: the journal, past and to come."""

import time

from fastapi import APIRouter, Request, Response

from protos.errdefs import InvalidArgument
from services.dockerd import events, filters
from services.dockerd.container import stamp
from services.dockerd.web.context import engine_of
from services.dockerd.web.reply import Stream

router = APIRouter()


@router.get("/events")
async def follow_events(request: Request) -> Response:
    since, until = _time(request, "since"), _time(request, "until")
    if since is not None and until is not None and since > until:
        raise InvalidArgument(f"`since` time ({request.query_params['since']}) cannot be after "
                              f"`until` time ({request.query_params['until']})")
    wanted = filters.parse(request.query_params.get("filters"), events.ACCEPTED)
    return Stream(events.lines(engine_of(request).events, wanted, since, until), "application/json")


def _time(request: Request, name: str) -> int | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    try:
        return stamp.moment(text, time.time_ns())
    except ValueError as error:
        raise InvalidArgument(f'invalid value for "{name}": {error}') from error
