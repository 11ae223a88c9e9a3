"""`rename`: another name for a container, running or not."""

from typing import Final

from protos import errdefs
from services.dockerd.container import validate
from services.dockerd.engine import links, notify
from services.dockerd.engine.engine import Engine
from services.dockerd.network import custom

_REFUSED: Final = "Error when allocating new name"


async def rename(engine: Engine, reference: str, name: str) -> None:
    container = engine.containers.get(reference)
    if not name.removeprefix("/"):
        raise errdefs.InvalidArgument("Neither old nor new names may be empty")
    try:
        wanted = validate.name(name)
    except errdefs.InvalidArgument as error:
        raise errdefs.InvalidArgument(f"{_REFUSED}: {error}") from error
    async with container.lock:
        old = container.name
        if wanted == old:
            raise errdefs.InvalidArgument("Renaming a container with the same name as its current name")
        try:
            engine.containers.reserve(wanted, container.id)
        except errdefs.Conflict as error:
            raise errdefs.Conflict(f"{_REFUSED}: {error}") from error
        container.name = wanted
        try:
            engine.store.save(container)
        except OSError:
            container.name = old
            engine.containers.release(wanted, container.id)
            raise
        engine.containers.release(old, container.id)
        engine.containers.refresh(container)
        links.follow(engine, container, old)
        custom.rename(engine.network, container.id, wanted)
    notify.container(engine, container, "rename", {"oldName": "/" + old})
