"""`logs`: what a container has written, read from its log on disk."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from protos import errdefs
from services.dockerd.container.container import Container, Outcome
from services.dockerd.container.state import Status
from services.dockerd.engine import wait
from services.dockerd.engine.engine import Engine
from services.dockerd.logger import jsonfile
from services.dockerd.logger.query import Query


def logs(engine: Engine, reference: str, query: Query) -> AsyncIterator[bytes]:
    """Chunks of the log; all errors are raised here, before the first."""
    container = engine.containers.get(reference)
    if not (query.stdout or query.stderr):
        raise errdefs.InvalidArgument("Bad parameters: you must choose at least one stream")
    if container.host.LogConfig.Type != "json-file":
        raise errdefs.Unimplemented("configured logging driver does not support reading")
    if container.state.status in (Status.DEAD, Status.REMOVING):
        raise errdefs.Conflict("can not get logs from container which is dead or marked for removal")
    return _read(container, replace(query, framed=not container.config.Tty))


async def _read(container: Container, query: Query) -> AsyncIterator[bytes]:
    ended: asyncio.Future[Outcome] | None = None
    timer: asyncio.TimerHandle | None = None
    if query.follow and (container.state.running or container.starting):
        ended = wait.until(container, "next-exit")
        if query.until:
            delay = max(0.0, (query.until - time.time_ns()) / 1e9)
            timer = asyncio.get_running_loop().call_later(delay, ended.cancel)
    try:
        async for chunk in jsonfile.read(Path(container.log_path), query, ended):
            if chunk:
                yield chunk
    finally:
        if ended:
            ended.cancel()
        if timer:
            timer.cancel()
