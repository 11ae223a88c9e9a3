"""`rm`: a container and all that is its own.

It is off the books, and its name free, as soon as its directory is renamed; what deleting is left over after a crash
is done at the next start.
"""

import asyncio
import contextlib
import logging

from protos import errdefs
from services.dockerd.container.container import Container
from services.dockerd.container.state import Status
from services.dockerd.engine import attach, exits, health, kill, layerdb, notify, stop, streams, tasks
from services.dockerd.engine.engine import Engine
from services.dockerd.volumes import mounts

log = logging.getLogger("remove")


async def remove(engine: Engine, reference: str, *, force: bool = False, volumes: bool = False) -> None:
    """Remove a container; a running one only by `force`. `volumes`: its anonymous volumes too."""
    container = engine.containers.get(reference)
    _check(container, force=force)
    if force:
        await _end(engine, container)
    async with container.lock:
        if container.id not in engine.containers:
            raise errdefs.NotFound(f"No such container: {reference}")
        _check(container, force=False)
        await _remove(engine, container, volumes=volumes)


async def quietly(engine: Engine, container: Container) -> None:
    """`--rm`: as `remove`; somebody else may have been quicker."""
    with contextlib.suppress(errdefs.NotFound, errdefs.Conflict):
        await remove(engine, container.id, force=True, volumes=True)


def _check(container: Container, *, force: bool) -> None:
    status = container.state.status
    if status is Status.REMOVING:
        raise errdefs.Conflict(f"removal of container {container.id} is already in progress")
    if force:
        return
    if status is Status.PAUSED:
        hint = "container is paused and must be unpaused first"
    elif container.state.running or container.starting:
        hint = "container is running: stop the container before removing or force remove"
    elif status is Status.RESTARTING:
        hint = "container is restarting: stop the container before removing or force remove"
    else:
        return
    raise errdefs.Conflict(f'cannot remove container "/{container.name}": {hint}')


async def _end(engine: Engine, container: Container) -> None:
    container.manually_stopped = True
    if container.starting:
        async with container.lock:
            pass
    if not exits.cancel_restart(engine, container) and container.state.running:
        await stop.end(engine, container, kill.KILL, 10)


async def _remove(engine: Engine, container: Container, *, volumes: bool) -> None:
    container.state = container.state.after("remove")
    engine.containers.refresh(container)
    try:
        await _clean(engine, container)
    except (errdefs.EngineError, OSError) as error:
        container.state = container.state.after("give_up", error=str(error))
        engine.store.save(container)
        engine.containers.refresh(container)
        raise errdefs.Internal(f'container "/{container.name}" cannot be removed: {error}') from error
    mounts.release(engine.volumes, container.id, container.mounts, anonymous=volumes)
    engine.containers.remove(container)
    attach.drop(container)
    for each in container.execs:
        engine.execs.pop(each, None)
    notify.container(engine, container, "destroy")
    exits.wake(container, "removed")


async def _clean(engine: Engine, container: Container) -> None:
    if container.settled and container.settled is not asyncio.current_task():
        await asyncio.shield(container.settled)
    health.stop(container)
    await engine.network.release(container.id)
    streams.discard(engine, container.id)
    engine.store.discard(container)
    await asyncio.gather(tasks.forget(engine, container), asyncio.to_thread(purge, engine, container.id))


def purge(engine: Engine, container_id: str) -> None:
    """Delete the files of a container that is off the books."""
    layerdb.remove(engine.config.data_root, engine.images.snapshotter, container_id)
    engine.store.purge(container_id)
