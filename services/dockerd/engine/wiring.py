"""What the network controller is told of a container."""

from services.dockerd.container.container import Container
from services.dockerd.engine.engine import Engine
from services.dockerd.network.controller import Request


def request(engine: Engine, container: Container) -> Request:
    """The container as the network controller sees it, with the container whose namespace it shares resolved."""
    mode, _, other = container.host.NetworkMode.partition(":")
    shared = engine.containers.get(other).id if mode == "container" else ""
    return Request(
        container_id=container.id,
        name=container.name,
        hostname=container.config.Hostname,
        domainname=container.config.Domainname,
        host=container.host,
        directory=container.directory,
        endpoints=container.endpoints,
        exposed=list(container.config.ExposedPorts or {}),
        mac_address=container.config.MacAddress or "",
        shared_container=shared,
        disabled=bool(container.config.NetworkDisabled),
    )
