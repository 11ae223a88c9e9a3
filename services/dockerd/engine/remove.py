"""`rm`: a container and all that is its own.

It is off the books, and its name free, as soon as its directory is renamed; what deleting is left over after a crash
is done at the next start. `rm` waits until all is gone; `--rm` tells of the removal first and then clears up.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from protos import errdefs
from services.dockerd.container.container import Container
from services.dockerd.container.state import Status
from services.dockerd.engine import attach, health, kill, layerdb, notify, retry, save, stop, tasks, views, wait
from services.dockerd.engine.engine import Engine
from services.dockerd.metrics import meter
from services.dockerd.volumes import mounts

log = logging.getLogger("remove")

_TRIES: Final = 10


@meter.timed("container_actions", "delete")
async def remove(engine: Engine, reference: str, *, force: bool = False, volumes: bool = False) -> None:
    """Remove a container; a running one only by `force`. `volumes`: its anonymous volumes too."""
    container = engine.containers.get(reference)
    _check(container, force=force)
    if force:
        await _end(engine, container)
    async with container.lock:
        if container.id not in engine.containers:
            if force:
                return  # `--rm` was quicker
            raise errdefs.NotFound(f"No such container: {reference}")
        _check(container, force=False)
        _begin(engine, container)
        save.save(engine, container)
        try:
            await _settled(container)
            await engine.network.release(container.id)
            await _forget(engine, container)
            left = _leave(engine, container, volumes=volumes)
        except (errdefs.EngineError, OSError) as error:
            raise _give_up(engine, container, error) from error
        await mounts.discard(engine.volumes, left)
        await asyncio.to_thread(purge, engine, container.id)


async def quietly(engine: Engine, container: Container) -> None:
    """`--rm`: somebody else may have been quicker. All but the container's leaving is done behind its back."""
    with contextlib.suppress(errdefs.NotFound, errdefs.Conflict):
        _check(container, force=True)
        await _end(engine, container)
        async with container.lock:
            if container.id not in engine.containers:
                return
            _check(container, force=False)
            _begin(engine, container)
            await engine.network.release(container.id)
            try:
                left = _leave(engine, container, volumes=True)
            except OSError as error:
                raise _give_up(engine, container, error) from error
        clearing = engine.spawn(_clear(engine, container, left), f"clear {container.short}")
        engine.clearing.add(clearing)
        clearing.add_done_callback(engine.clearing.discard)


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
    if not retry.cancel(engine, container) and container.state.running:
        await stop.end(engine, container, kill.KILL, 10)


def _begin(engine: Engine, container: Container) -> None:
    container.state = container.state.after("remove")
    engine.containers.refresh(container)
    health.stop(container)


def _give_up(engine: Engine, container: Container, error: Exception) -> errdefs.Internal:
    container.state = container.state.after("give_up", error=str(error))
    engine.containers.refresh(container)
    save.save(engine, container)
    return errdefs.Internal(f'container "/{container.name}" cannot be removed: {error}')


def _leave(engine: Engine, container: Container, *, volumes: bool) -> list[str]:
    """Off the books: from here on it is not there any more, whatever happens. Volumes that a plugin has to remove."""
    engine.store.discard(container)
    left = mounts.release(engine.volumes, container.id, container.mounts, anonymous=volumes)
    engine.containers.remove(container)
    attach.drop(container)
    for each in container.execs:
        engine.execs.pop(each, None)
    notify.container(engine, container, "destroy")
    wait.wake(container, "removed")
    return left


async def _settled(container: Container) -> None:
    """What its last end and a start in preparation have begun is done."""
    waiting = [each for each in (container.settled, container.prepared) if each and not each.done()]
    if waiting:
        await asyncio.wait(waiting)


async def _forget(engine: Engine, container: Container) -> None:
    """docker-containerd's record of it, its file system, and its views of images."""
    await tasks.forget(engine, container)
    await views.remove(engine, container)


async def _clear(engine: Engine, container: Container, left: Sequence[str]) -> None:
    """What `--rm` leaves: the ended task, docker-containerd's record, the file system, the files, plugins' volumes."""
    await _settled(container)
    await mounts.discard(engine.volumes, left)
    for attempt in range(_TRIES):
        try:
            await _forget(engine, container)
            break
        except errdefs.EngineError as error:
            log.warning("removed container not cleared yet container=%s error=%s", container.short, error)
            await asyncio.sleep(0.1 * (attempt + 1))
    else:
        log.error("removed container not cleared; the next start of dockerd does it container=%s", container.short)
        return
    await asyncio.to_thread(purge, engine, container.id)


def purge(engine: Engine, container_id: str) -> None:
    """Delete the files of a container that is off the books."""
    layerdb.remove(engine.config.data_root, engine.images.snapshotter, container_id)
    engine.store.purge(container_id)
