"""`pause` and `unpause`: the container's processes are frozen, and thawed."""

from services.dockerd.container.container import Container
from services.dockerd.engine import notify, save, tasks
from services.dockerd.engine.engine import Engine


async def pause(engine: Engine, reference: str) -> None:
    container = engine.containers.get(reference)
    async with container.lock:
        container.state.check("pause", container.id)
        await tasks.pause(engine, container.id)
        _become(engine, container, "pause")


async def unpause(engine: Engine, reference: str) -> None:
    container = engine.containers.get(reference)
    async with container.lock:
        container.state.check("unpause", container.id)
        await tasks.resume(engine, container.id)
        _become(engine, container, "unpause")


def _become(engine: Engine, container: Container, verb: str) -> None:
    if not container.state.running:
        return  # it has ended meanwhile
    container.state = container.state.after(verb)
    save.save(engine, container)
    engine.containers.refresh(container)
    notify.container(engine, container, verb)
