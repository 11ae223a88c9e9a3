"""`logs`: what a container has written, read from its log on disk."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from protos import errdefs
from services.dockerd.container.container import Container, Outcome
from services.dockerd.container.state import Status
from services.dockerd.engine import wait
from services.dockerd.engine.engine import Engine
from services.dockerd.logger import journald, jsonfile, local, places
from services.dockerd.logger.query import Query

Reader = Callable[[Query, "asyncio.Future[Outcome] | None"], AsyncIterator[bytes]]


def logs(engine: Engine, reference: str, query: Query) -> AsyncIterator[bytes]:
    """Chunks of the log; all errors are raised here, before the first."""
    container = engine.containers.get(reference)
    if not (query.stdout or query.stderr):
        raise errdefs.InvalidArgument("Bad parameters: you must choose at least one stream")
    if container.state.status in (Status.DEAD, Status.REMOVING):
        raise errdefs.Conflict("can not get logs from container which is dead or marked for removal")
    return _read(container, _reader(container), replace(query, framed=not container.config.Tty))


def _reader(container: Container) -> Reader:
    driver = container.host.LogConfig.Type
    if driver == "json-file":
        return partial(jsonfile.read, Path(container.log_path))
    if driver == "local":
        return partial(local.read, places.local(container))
    if driver == "journald":
        journald.check()
        return partial(journald.read, container.id)
    if cache := places.cache(container):
        return partial(local.read, Path(cache))
    raise errdefs.Unimplemented("configured logging driver does not support reading")


async def _read(container: Container, read: Reader, query: Query) -> AsyncIterator[bytes]:
    ended: asyncio.Future[Outcome] | None = None
    timer: asyncio.TimerHandle | None = None
    if query.follow and (container.state.running or container.starting):
        ended = wait.until(container, "next-exit")
        if query.until:
            delay = max(0.0, (query.until - time.time_ns()) / 1e9)
            timer = asyncio.get_running_loop().call_later(delay, ended.cancel)
    try:
        async for chunk in read(query, ended):
            if chunk:
                yield chunk
    finally:
        if ended:
            ended.cancel()
        if timer:
            timer.cancel()
