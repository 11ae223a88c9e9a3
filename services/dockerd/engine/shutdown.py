"""The graceful end of dockerd: all containers are stopped, as Docker does without live restore."""

import asyncio
import contextlib
import logging
from typing import Final

from protos import errdefs
from services.dockerd.container import signals
from services.dockerd.container.container import Container
from services.dockerd.container.state import Status
from services.dockerd.engine import kill, retry, save, stop, tasks
from services.dockerd.engine.engine import Engine

log = logging.getLogger("shutdown")

_DEFAULT: Final = 10
"""Seconds; the stop timeout of a container that names none."""


async def shutdown(engine: Engine, forced: asyncio.Event) -> None:
    """Stop every running container (with live restore: none), stop watching docker-containerd, close the journal.

    Once `forced` is set, containers get no more time.
    """
    engine.closing = True
    engine.volumes.mounting.refuse()
    for container in engine.containers:
        if container.retry and not engine.config.live_restore:
            retry.cancel(engine, container)
    if not engine.config.live_restore:
        await _stop_all(engine, forced)
    settling = [each.settled for each in engine.containers if each.settled and not each.settled.done()]
    if settling:
        await asyncio.wait(settling, timeout=10)
    if engine.clearing:
        await asyncio.wait(engine.clearing, timeout=10)
    if engine.follower:
        engine.follower.cancel()
    for container in engine.containers:
        if container.probe:
            container.probe.cancel()
    engine.events.close()


def longest(engine: Engine) -> int | None:
    """Seconds that a stop may take for the containers' sake; None is without end."""
    if engine.config.shutdown_timeout < 0:
        return None
    own = [0 if engine.config.live_restore else patience(each.config.StopTimeout, engine.config.shutdown_timeout)
           for each in engine.containers if each.state.active]
    return None if min(own, default=0) < 0 else max([engine.config.shutdown_timeout, *own])


async def _stop_all(engine: Engine, forced: asyncio.Event) -> None:
    forcing = asyncio.ensure_future(_force(engine, forced))
    await asyncio.gather(*[_stop(engine, each) for each in engine.containers if each.state.running or each.starting])
    forcing.cancel()


async def _force(engine: Engine, forced: asyncio.Event) -> None:
    await forced.wait()
    for container in engine.containers:
        if container.state.running:
            with contextlib.suppress(errdefs.EngineError):
                await kill.send(engine, container, kill.KILL)


def patience(own: int | None, limit: int) -> int:
    """Seconds a container has to obey: its own time, Docker's ten otherwise, or less where the daemon has less.

    Negative is without end: of `--shutdown-timeout` it means that nothing but a container's time counts.
    """
    if own is not None:
        return own
    return min(_DEFAULT, limit) if limit >= 0 else _DEFAULT


async def _stop(engine: Engine, container: Container) -> None:
    """As `stop`, but the container counts as running when dockerd starts again."""
    async with container.lock:
        pass  # a start in progress first
    if not container.state.running:
        return
    manually = container.manually_stopped
    time = patience(container.config.StopTimeout, engine.config.shutdown_timeout)
    try:
        await asyncio.gather(
            stop.end(engine, container, signals.parse(container.stop_signal), time), _thaw(engine, container))
    except errdefs.EngineError as error:
        log.error("container not stopped container=%s error=%s", container.short, error)
    container.manually_stopped = manually
    save.save(engine, container)


async def _thaw(engine: Engine, container: Container) -> None:
    """A paused container cannot obey; its signal waits for it."""
    if container.state.status is Status.PAUSED:
        with contextlib.suppress(errdefs.EngineError):
            await tasks.resume(engine, container.id)
