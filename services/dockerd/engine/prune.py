"""`container prune`: remove all that are at rest and chosen by the filters."""

import logging
import time
from typing import Any, Final

from protos import errdefs
from services.dockerd.container import stamp
from services.dockerd.container.container import Container
from services.dockerd.container.state import Status
from services.dockerd.engine import inspect, remove
from services.dockerd.engine.engine import Engine
from services.dockerd.filters import Filters

log = logging.getLogger("prune")

ACCEPTED: Final = frozenset({"label", "label!", "until"})


async def prune(engine: Engine, wanted: Filters) -> dict[str, Any]:
    """Remove them; their ids and the bytes gained."""
    until = _until(wanted)
    gone: list[str] = []
    space = 0
    for container in engine.containers:
        if not _chosen(container, wanted, until):
            continue
        written, _ = await inspect.sizes(engine, container)
        try:
            await remove.remove(engine, container.id)
        except errdefs.EngineError as error:
            log.warning("container not pruned container=%s error=%s", container.short, error)
            continue
        gone.append(container.id)
        space += written
    engine.events.publish("container", "prune", "", {"reclaimed": str(space)})
    return {"ContainersDeleted": gone or None, "SpaceReclaimed": space}


def _until(wanted: Filters) -> int:
    values = wanted.get("until")
    if not values:
        return time.time_ns()
    if len(values) > 1:
        raise errdefs.InvalidArgument("more than one until filter specified")
    try:
        return stamp.moment(values[0], time.time_ns())
    except ValueError as error:
        raise errdefs.InvalidArgument(str(error)) from error


def _chosen(container: Container, wanted: Filters, until: int) -> bool:
    if container.state.status not in (Status.CREATED, Status.EXITED, Status.DEAD) or container.starting:
        return False
    refused = "label!" in wanted and wanted.labels("label!", container.labels)
    return container.created < until and wanted.labels("label", container.labels) and not refused
