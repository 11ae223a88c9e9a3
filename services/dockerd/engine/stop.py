"""`stop`: the stop signal, a time to obey it, then SIGKILL."""

import asyncio
import contextlib
from typing import Final

from protos import errdefs
from services.dockerd.container import signals
from services.dockerd.container.container import Container, Outcome
from services.dockerd.engine import kill, notify, retry, wait
from services.dockerd.engine.engine import Engine

_AFTER_KILL: Final = 10.0


async def stop(engine: Engine, reference: str, *, timeout: int | None = None, signal: str = "") -> None:
    """End a container. `timeout` in seconds, negative for ever; NotModified where it does not run."""
    container = engine.containers.get(reference)
    number = signals.parse(signal or container.stop_signal)
    async with container.lock:
        pass  # a start in progress first
    if not container.state.active:
        raise errdefs.NotModified(f"container {container.id} is already stopped")
    container.manually_stopped = True
    if not retry.cancel(engine, container):
        await end(engine, container, number, container.stop_timeout() if timeout is None else timeout)
    notify.container(engine, container, "stop")


async def end(engine: Engine, container: Container, number: int, timeout: float) -> None:
    """Signal, wait, kill, wait; returns once it is at rest."""
    rest = wait.until(container, "not-running")
    try:
        if await _tried(engine, container, number, rest, None if timeout < 0 else timeout):
            return
        if await _tried(engine, container, kill.KILL, rest, _AFTER_KILL):
            return
    finally:
        rest.cancel()
    raise errdefs.Internal(f"cannot stop container: {container.id}: tried to kill container, "
                           "but did not receive an exit event")


async def _tried(
    engine: Engine, container: Container, number: int, rest: asyncio.Future[Outcome], timeout: float | None
) -> bool:
    with contextlib.suppress(errdefs.Conflict, errdefs.NotFound):
        await kill.send(engine, container, number)
    done, _ = await asyncio.wait([rest], timeout=timeout)
    return bool(done)
