"""`kill`: one signal to a container's first process."""

from contextlib import suppress

from protos import errdefs
from services.dockerd.container import signals
from services.dockerd.container.container import Container
from services.dockerd.container.state import Status
from services.dockerd.engine import notify, retry, tasks
from services.dockerd.engine.engine import Engine

KILL = 9


async def kill(engine: Engine, reference: str, signal: str = "") -> None:
    """Send a signal by name or number, SIGKILL for none."""
    try:
        await _kill(engine, reference, signal)
    except errdefs.EngineError as error:
        raise type(error)(f"cannot kill container: {reference}: {error}") from error


async def _kill(engine: Engine, reference: str, signal: str) -> None:
    container = engine.containers.get(reference)
    number = signals.parse(signal) if signal else KILL
    if container.starting:
        async with container.lock:
            pass  # its process may run, and have spoken, before the start has come back
    if not container.state.active:
        raise errdefs.Conflict(f"container {container.id} is not running")
    if container.state.status is Status.RESTARTING and number in (KILL, signals.parse(container.stop_signal)):
        container.manually_stopped = True
        retry.cancel(engine, container)
        return
    await send(engine, container, number)


async def send(engine: Engine, container: Container, number: int) -> None:
    """Deliver the signal; a paused container is resumed by SIGKILL alone."""
    if number in (KILL, signals.parse(container.stop_signal)):
        container.manually_stopped = True
    if container.state.running:  # told before it works: the exit it brings comes by another way
        notify.container(engine, container, "kill", {"signal": str(number)})
    try:
        await tasks.kill(engine, container.id, number)
    except errdefs.NotFound as error:
        if container.state.running:
            raise errdefs.Conflict(f"container {container.id} is just ending") from error
    if number == KILL and container.state.status is Status.PAUSED:
        # Most shims let it die at once, and a runtime then says in its own words that it is not paused.
        with suppress(errdefs.FailedPrecondition, errdefs.NotFound, errdefs.Unknown):
            await tasks.resume(engine, container.id)
