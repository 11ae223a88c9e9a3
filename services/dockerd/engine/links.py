"""Legacy links between containers of the default bridge: the variables they bring, and `rm --link`."""

from collections.abc import Iterator

from protos import errdefs
from services.dockerd.container import links, validate
from services.dockerd.container.container import Container
from services.dockerd.engine.engine import Engine
from services.dockerd.network.ports import parse_exposed
from services.dockerd.schema.container import HostConfig


def environment(engine: Engine, container: Container) -> list[str]:
    """Of all links to containers that run; networks of the user's own know names instead."""
    if container.host.NetworkMode not in ("", "default", "bridge"):
        return []
    return [variable for text in container.host.Links or () for variable in _variables(engine, container, text)]


def _variables(engine: Engine, container: Container, text: str) -> Iterator[str]:
    target, alias = links.parse(text)
    other = engine.containers.find(target)
    address = engine.network.settings(other.id)["IPAddress"] if other else ""
    if other and address:
        ports = [parse_exposed(port) for port in other.config.ExposedPorts or {}]
        yield from links.variables(container.name, alias, address, ports, other.config.Env or ())


def check(engine: Engine, host: HostConfig) -> None:
    """Refuse links that lead nowhere."""
    for text in host.Links or ():
        target, _ = links.parse(text)
        try:
            other = engine.containers.get(target)
        except errdefs.NotFound as error:
            raise errdefs.InvalidArgument(f"could not get container for {target}: {error}") from error
        if other.host.NetworkMode == "host":
            raise errdefs.InvalidArgument(validate.HOST_LINKS)


def follow(engine: Engine, container: Container, old: str) -> None:
    """Have links to a container that was called `old` lead to it still."""
    for owner in engine.containers:
        before = owner.host.Links or []
        after = [f"{container.name}:{links.parse(each).alias}" if links.parse(each).target == old else each
                 for each in before]
        if after != before:
            owner.host.Links = after
            engine.store.save_host(owner)
            engine.containers.refresh(owner)


async def unlink(engine: Engine, owner: str, alias: str) -> None:
    """Take the link `alias` off the container `owner`: neither name nor rule of it stays."""
    container = engine.containers.find(owner)
    if container is None:
        raise errdefs.NotFound(f"Cannot get parent /{owner} for name /{owner}/{alias}")
    async with container.lock:
        found = [text for text in container.host.Links or () if links.parse(text).alias == alias]
        if not found:
            raise errdefs.NotFound(f"No such container: {owner}/{alias}")
        container.host.Links = [text for text in container.host.Links or () if text not in found]
        engine.store.save_host(container)
        engine.containers.refresh(container)
        await engine.network.unlink(container.id, found)
