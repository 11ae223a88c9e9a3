"""The graceful end of dockerd: all containers are stopped, as Docker does without live restore."""

import asyncio
import logging

from protos import errdefs
from services.dockerd.container import signals
from services.dockerd.container.container import Container
from services.dockerd.engine import exits, save, stop
from services.dockerd.engine.engine import Engine

log = logging.getLogger("shutdown")


async def shutdown(engine: Engine) -> None:
    """Stop every running container (with live restore: none), stop watching docker-containerd, close the journal."""
    engine.closing = True
    for container in engine.containers:
        if container.retry and not engine.config.live_restore:
            exits.cancel_restart(engine, container)
    if not engine.config.live_restore:
        await asyncio.gather(*[_stop(engine, each) for each in engine.containers if each.state.running])
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


async def _stop(engine: Engine, container: Container) -> None:
    """As `stop`, but the container counts as running when dockerd starts again."""
    patience = container.stop_timeout() if container.config.StopTimeout is not None else engine.config.shutdown_timeout
    manually = container.manually_stopped
    try:
        await stop.end(engine, container, signals.parse(container.stop_signal), patience)
    except errdefs.EngineError as error:
        log.error("container not stopped container=%s error=%s", container.short, error)
    container.manually_stopped = manually
    save.save(engine, container)
