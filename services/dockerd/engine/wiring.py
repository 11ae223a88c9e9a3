"""What the network controller is told of a container."""

import contextlib
from collections.abc import Mapping

from protos import errdefs
from services.dockerd.container.container import Container
from services.dockerd.engine.engine import Engine
from services.dockerd.network.controller import Request
from services.dockerd.network.forwarding import forwards
from services.dockerd.network.request import ALONE, check_addresses
from services.dockerd.schema.container import EndpointSettings, HostConfig


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


def check(engine: Engine, host: HostConfig, endpoints: Mapping[str, EndpointSettings]) -> None:
    """Refuse namespaces of containers that are not there, networks that exclude one another, and addresses that a
    network does not have."""
    for mode in (host.NetworkMode, host.IpcMode, host.PidMode):
        kind, _, other = mode.partition(":")
        if kind == "container" and not other:
            raise errdefs.InvalidArgument(f"invalid network mode: invalid container format {kind}:<name|id>")
        if kind == "container" and mode != host.NetworkMode and not engine.containers.find(other):
            raise errdefs.InvalidArgument(f"No such container: {other}")  # clients take 404 for a missing image
    joined = sorted({host.NetworkMode, *endpoints})
    if host.NetworkMode in ALONE and len(joined) > 1:
        raise errdefs.InvalidArgument(f"Container cannot be connected to network endpoints: {', '.join(joined)}")
    for name, settings in endpoints.items():
        with contextlib.suppress(errdefs.NotFound):  # there may be such a network by the start
            try:
                check_addresses(engine.network.networks.get(name), settings)
            except errdefs.InvalidArgument as error:
                raise errdefs.InvalidArgument(f"invalid config for network {name}: {error}") from None


def warnings(host: HostConfig) -> list[str]:
    """What keeps a container from the network, though it is to have one."""
    if host.NetworkMode in ("host", "none") or forwards(4):
        return []
    return ["IPv4 forwarding is disabled. Networking will not work."]
