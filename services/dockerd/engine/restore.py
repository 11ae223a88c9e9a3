"""What dockerd finds when it starts: containers on disk against tasks that run.

What runs is adopted, what ended meanwhile is told once with its code and time; after a reboot (the boot id differs)
whatever ran has ended with 255. Half-done removals are finished; policies are applied last.
"""

import asyncio
import contextlib
import logging
import re
import time
from typing import Final

from protos import errdefs
from protos.containerd.services.snapshots.v1 import snapshots_pb2
from services.dockerd.container import order, restart
from services.dockerd.container.container import Container
from services.dockerd.container.state import Status
from services.dockerd.engine import exits, health, monitor, notify, remove, save, start, streams, tasks, views
from services.dockerd.engine.engine import Engine
from services.dockerd.volumes import mounts

log = logging.getLogger("restore")

_LAYER: Final = re.compile("[0-9a-f]{64}$|skeleton ")
"""Keys of the writable snapshots that dockerd makes: a container's, and that of a skeleton being made."""
_AT_ONCE: Final = 8
"""Containers that are started at the same time."""
REBOOTED: Final = 255
"""Exit code of what ran when the machine went down."""


def load(engine: Engine) -> None:
    """Read all containers from disk into the index. Before `Controller.start`, which wants to know who lives."""
    streams.make_directory(engine)
    for container in engine.store.load():
        try:
            engine.containers.add(container)
        except errdefs.Conflict as error:
            log.error("container not loaded container=%s error=%s", container.short, error)
            continue
        mounts.refer(engine.volumes, container.id, container.mounts)
        if container.state.status is Status.REMOVING:
            container.state = container.state.after("give_up", error="its removal was interrupted")
        if container.state.active and container.boot_id != start.boot_id():
            _rebooted(engine, container)
        elif container.state.active:
            mounts.adopt(engine.volumes, container.id, container.mounts)
    log.info("containers loaded count=%d", len(engine.containers))


def _rebooted(engine: Engine, container: Container) -> None:
    now = time.time_ns()
    notify.container(engine, container, "die", {"exitCode": str(REBOOTED)},
                     key=exits.key(container, container.state.pid))
    container.state = container.state.exited(REBOOTED, now)
    save.save(engine, container)


async def restore(engine: Engine) -> None:
    """Adopt what runs, record what ended meanwhile, finish removals. Before the listeners open."""
    from services.dockerd.engine import execs  # it reads the index filled by `load`

    execs.load(engine)
    for container in engine.containers:
        if container.state.status is Status.RESTARTING:
            container.state = container.state.exited(container.state.exit_code, container.state.finished_at)
            save.save(engine, container)
    await _connected(engine)
    await _complete(engine)
    await asyncio.gather(*[_finish_removal(engine, each) for each in engine.store.discarded()])
    for container in engine.containers:
        if container.state.running:
            health.resume(engine, container)
    engine.spawn(engine.volumes.mounting.settle(list(engine.volumes)), "volumes")


async def _connected(engine: Engine) -> None:
    """The first comparison; docker-containerd may still be starting."""
    for attempt in range(100):
        try:
            await monitor.compare(engine, adopt=True)
            return
        except (errdefs.Unavailable, errdefs.DeadlineExceeded):
            if attempt == 99:
                raise
            await asyncio.sleep(0.1)


async def _complete(engine: Engine) -> None:
    """Undo what a killed dockerd had half created: a container without its layer, a layer without its container."""
    driver = engine.images.snapshotter
    request = snapshots_pb2.ListSnapshotsRequest(snapshotter=driver)
    found = [info async for reply in engine.client.stream(engine.client.snapshots.List, request) for info in reply.info]
    layers = {info.name for info in found if info.kind == snapshots_pb2.ACTIVE and _LAYER.match(info.name)}
    known = engine.store.kept() | set(engine.store.discarded())
    for container in list(engine.containers):
        if container.id not in layers and container.driver == driver and not container.started_before:
            log.warning("half-created container removed container=%s", container.short)
            left = mounts.release(engine.volumes, container.id, container.mounts, anonymous=True)
            engine.spawn(mounts.discard(engine.volumes, left), "volumes")
            engine.containers.remove(container)
            engine.store.discard(container)
    for stray in layers - known:
        log.warning("layer without a container removed key=%r", stray)
        await tasks.erase(engine, driver, stray)
    for info in found:
        owner = views.KEY.match(info.name)
        if owner and info.kind == snapshots_pb2.VIEW and owner[1] not in engine.containers:
            await views.drop(engine, driver, info.name)


async def _finish_removal(engine: Engine, container_id: str) -> None:
    log.info("removal finished that was begun earlier container=%s", container_id[:12])
    with contextlib.suppress(errdefs.EngineError):
        await tasks.erase(engine, engine.images.snapshotter, container_id)
    await engine.network.release(container_id)
    await asyncio.to_thread(remove.purge, engine, container_id)


async def resume(engine: Engine) -> None:
    """Apply `--rm` and restart policies to what does not run, several at a time. Once the listeners are open."""
    idle = [each for each in engine.containers if not each.state.running]
    leaving = [each for each in idle if each.state.status is Status.DEAD or (
        each.host.AutoRemove and each.state.status is Status.EXITED)]
    chosen = {each.id: each for each in idle if each not in leaving and _again(each)}
    first = order.before({each.id: each.host for each in chosen.values()}, lambda name: _id(engine, name))
    done = {each: asyncio.Event() for each in chosen}
    turn = asyncio.Semaphore(_AT_ONCE)

    async def start_again(container: Container) -> None:
        try:
            for other in first[container.id]:
                await done[other].wait()
            async with turn:
                await _start(engine, container)
        finally:
            done[container.id].set()

    await asyncio.gather(*(remove.quietly(engine, each) for each in leaving), *map(start_again, chosen.values()))


def _id(engine: Engine, name: str) -> str | None:
    try:
        found = engine.containers.find(name)
    except errdefs.InvalidArgument:  # the beginning of several ids
        return None
    return found.id if found else None


def _again(container: Container) -> bool:
    wanted = restart.at_start(
        container.host.RestartPolicy, code=container.state.exit_code, restarts=container.restart_count,
        stopped_by_user=container.manually_stopped)
    return wanted and container.started_before and container.retry is None and not container.unreadable


async def _start(engine: Engine, container: Container) -> None:
    async with container.lock:
        if container.state.active:
            return
        try:
            await start.run(engine, container)
        except errdefs.EngineError as error:
            log.error("container not restarted container=%s error=%s", container.short, error)
