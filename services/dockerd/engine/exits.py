"""The end of a container's process: told once, cleaned up after, and followed by what its policy says.

`record` is quick and changes the state at once; `_settle` is the slow part that a next start awaits.
"""

import asyncio
import logging
import time
from typing import Final

from protos import errdefs
from services.dockerd.container import restart
from services.dockerd.container.container import Container
from services.dockerd.container.state import Status
from services.dockerd.engine import execs, health, notify, remove, save, shm, streams, tasks, wait
from services.dockerd.engine.engine import Engine
from services.dockerd.engine.tasks import Exit
from services.dockerd.volumes import mounts

log = logging.getLogger("exits")

_LATE: Final = 5_000_000_000
"""Nanoseconds after which a `die` is told with the time it happened, not the time it was heard of."""


def key(container: Container, pid: int) -> str:
    """What makes one end of a container unlike all others."""
    return f"{container.id}//{pid}/{container.state.started_at}"


def record(engine: Engine, container: Container, end: Exit) -> None:
    """Take note of an exit, unless it is known or of an earlier run."""
    if container.starting:
        container.early = end
        return
    if not container.state.running or (end.pid and end.pid != container.state.pid):
        return
    ran = max(0.0, (end.at - container.state.started_at) / 1e9)
    attributes = {"exitCode": str(end.code), "execDuration": str(int(ran))}
    late = end.at if time.time_ns() - end.at > _LATE else 0
    notify.container(engine, container, "die", attributes, key=key(container, end.pid), at=late)
    retry = not engine.closing and restart.after_exit(
        container.host.RestartPolicy, end.code, restarts=container.restart_count,
        stopped_by_user=container.manually_stopped)
    container.state = container.state.exited(end.code, end.at, retry=retry)
    container.restart_count += retry
    container.released = False
    health.stop(container)
    save.save(engine, container)
    engine.containers.refresh(container)
    container.settled = engine.spawn(_settle(engine, container, ran), f"settle {container.short}")


async def _settle(engine: Engine, container: Container, ran: float) -> None:
    network = engine.spawn(_release(engine, container), f"release {container.short}")
    task = engine.spawn(_delete(engine, container), f"delete task {container.short}")
    execs.abandon(engine, container)
    await asyncio.wait([network])
    container.released = True
    retry = container.state.status is Status.RESTARTING
    wait.wake(container, "next-exit")
    if not retry:
        wait.wake(container, "not-running")
        if container.host.AutoRemove and not container.keep and not engine.closing:
            engine.spawn(remove.quietly(engine, container), f"auto-remove {container.short}")
    await asyncio.wait([task])
    streams.discard(engine, container.id)
    if retry and container.state.status is Status.RESTARTING:
        delay = container.backoff.next(ran)
        container.retry = engine.spawn(_restart(engine, container, delay), f"restart {container.short}")


async def _release(engine: Engine, container: Container) -> None:
    shm.remove(container)
    await engine.network.release(container.id)
    await mounts.detach(engine.volumes, container.id, container.mounts)
    engine.containers.refresh(container)


async def _delete(engine: Engine, container: Container) -> None:
    """Forget the task; docker-containerd may be away for a moment."""
    for attempt in range(50):
        try:
            await tasks.delete(engine, container.id)
            return
        except errdefs.NotFound:
            return
        except (errdefs.Unavailable, errdefs.DeadlineExceeded):
            await asyncio.sleep(min(0.1 * (attempt + 1), 1.0))
        except errdefs.EngineError as error:
            log.warning("ended task not deleted container=%s error=%s", container.short, error)
            return


async def _restart(engine: Engine, container: Container, delay: float) -> None:
    from services.dockerd.engine import start  # the verb uses this module

    await asyncio.sleep(delay)
    async with container.lock:
        if container.state.status is not Status.RESTARTING or engine.closing:
            return
        try:
            await start.run(engine, container)
        except errdefs.EngineError as error:
            log.warning("restart failed container=%s error=%s", container.short, error)
