"""What the network controller is told of a container."""

from services.dockerd.container.container import Container
from services.dockerd.engine.engine import Engine
from services.dockerd.network.controller import Request
from services.dockerd.network.forwarding import forwards
from services.dockerd.schema.container import HostConfig


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


def warnings(host: HostConfig) -> list[str]:
    """What keeps a container from the network, though it is to have one."""
    if host.NetworkMode in ("host", "none") or forwards(4):
        return []
    return ["IPv4 forwarding is disabled. Networking will not work."]
