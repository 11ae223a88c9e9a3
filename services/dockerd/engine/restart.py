"""`restart`: stop, then start; also starts what does not run."""

from services.dockerd.container import signals
from services.dockerd.engine import notify, retry, start, stop
from services.dockerd.engine.engine import Engine


async def restart(engine: Engine, reference: str, *, timeout: int | None = None, signal: str = "") -> None:
    container = engine.containers.get(reference)
    number = signals.parse(signal or container.stop_signal)
    container.keep = True
    try:
        async with container.lock:
            if container.state.active and not retry.cancel(engine, container):
                container.manually_stopped = True
                patience = container.stop_timeout() if timeout is None else timeout
                await stop.end(engine, container, number, patience)
                notify.container(engine, container, "stop")
            container.state.check("start", container.id)
            await start.run(engine, container)
    finally:
        container.keep = False
    notify.container(engine, container, "restart")
