"""`resize`: the size of a container's terminal."""

from protos import errdefs
from services.dockerd.engine import notify, tasks
from services.dockerd.engine.engine import Engine


async def resize(engine: Engine, reference: str, height: int, width: int) -> None:
    container = engine.containers.get(reference)
    if not container.state.running:
        raise errdefs.Conflict(f"container {container.id} is not running")
    await tasks.resize(engine, container.id, height, width)
    notify.container(engine, container, "resize", {"height": str(height), "width": str(width)})
