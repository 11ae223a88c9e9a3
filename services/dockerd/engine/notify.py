"""Events of containers, with the attributes Docker gives them."""

from services.dockerd.container.container import Container
from services.dockerd.engine.engine import Engine


def container(
    engine: Engine, subject: Container, action: str, attributes: dict[str, str] | None = None, *, key: str = "",
    at: int = 0
) -> bool:
    """Publish an event of a container: its labels, image and name beside `attributes`. False for a known key."""
    described = {**subject.labels, "image": subject.config.Image, "name": subject.name, **(attributes or {})}
    return engine.events.publish("container", action, subject.id, described, key=key, at=at)
