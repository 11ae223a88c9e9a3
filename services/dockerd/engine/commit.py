"""`commit`: an image of what a container changed. Building the image is images/commit.py's."""

from collections.abc import Sequence
from dataclasses import dataclass

from protos import errdefs
from services.dockerd.container import merge
from services.dockerd.container.state import Status
from services.dockerd.engine import notify, pause
from services.dockerd.engine.engine import Engine
from services.dockerd.images import commit as images
from services.dockerd.images import tag
from services.dockerd.metrics import meter
from services.dockerd.schema.container import ContainerConfig


@dataclass(frozen=True, slots=True)
class Wish:
    """How the image is to be named and described."""

    repository: str = ""
    tag: str = ""
    author: str = ""
    comment: str = ""
    changes: Sequence[str] = ()
    pause: bool = True


@meter.timed("container_actions", "commit")
async def commit(engine: Engine, reference: str, config: ContainerConfig, wish: Wish) -> str:
    """The new image's ID. A running container is paused meanwhile, unless `wish.pause` is off."""
    container = engine.containers.get(reference)
    if container.state.status in (Status.DEAD, Status.REMOVING):
        raise errdefs.Conflict(f"You cannot commit container {container.id} which is {container.state.status}")
    parent = engine.images.by_id.get(container.image)
    if parent is None:
        raise errdefs.NotFound(f"the image {container.image} of container {container.id} is gone: it cannot be "
                               "committed, only exported")
    name = tag.target(wish.repository, wish.tag) if wish.repository else None
    merged = merge.merge(config, container.config).model_dump(exclude_none=True)
    request = images.Commit(
        container_id=container.id, parent=parent, config=merged,
        command=tuple(container.config.Cmd or ()), author=wish.author, comment=wish.comment,
        change=tuple(wish.changes), name=name)
    frozen = wish.pause and container.state.status is Status.RUNNING
    if frozen:
        await pause.pause(engine, container.id)
    try:
        image = await images.commit(engine.images, request)
    finally:
        if frozen and container.state.status is Status.PAUSED:
            await pause.unpause(engine, container.id)
    attributes = {"comment": wish.comment, "imageID": image.id, "imageRef": name.familiar if name else ""}
    notify.container(engine, container, "commit", attributes)
    return image.id
