"""`rename`: another name for a container, running or not."""

from protos import errdefs
from services.dockerd.container import validate
from services.dockerd.engine import notify
from services.dockerd.engine.engine import Engine
from services.dockerd.network import custom


async def rename(engine: Engine, reference: str, name: str) -> None:
    container = engine.containers.get(reference)
    if not name.removeprefix("/"):
        raise errdefs.InvalidArgument("Neither old nor new names may be empty")
    wanted = validate.name(name)
    async with container.lock:
        old = container.name
        if wanted == old:
            raise errdefs.InvalidArgument("Renaming a container with the same name as its current name")
        engine.containers.reserve(wanted, container.id)
        container.name = wanted
        try:
            engine.store.save(container)
        except OSError:
            container.name = old
            engine.containers.release(wanted, container.id)
            raise
        engine.containers.release(old, container.id)
        engine.containers.refresh(container)
        custom.rename(engine.network, container.id, wanted)
    notify.container(engine, container, "rename", {"oldName": "/" + old})
