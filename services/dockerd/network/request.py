"""What the engine tells the Controller of a container, and which networks that means."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from protos.errdefs import Conflict, InvalidArgument
from services.dockerd.network import ipam
from services.dockerd.network.drivers import interface
from services.dockerd.network.networks import PREDEFINED, Network, Networks
from services.dockerd.schema.container import EndpointSettings, HostConfig

ALONE = ("host", "none")
"""Networks that exclude any other."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the engine knows of a container that concerns its network."""

    container_id: str
    name: str
    """Without the leading slash."""
    hostname: str
    domainname: str
    host: HostConfig
    directory: Path
    """containers/<id>: hostname, hosts and resolv.conf are written there."""
    endpoints: dict[str, EndpointSettings] = field(default_factory=dict)
    """By network name or id; what HostConfig.NetworkMode names is added if it is missing."""
    exposed: list[str] = field(default_factory=list)
    """Keys of ExposedPorts, as `80/tcp`."""
    mac_address: str = ""
    shared_container: str = ""
    """Full id of the container whose sandbox this one joins (`--network container:x`)."""
    disabled: bool = False
    """Config.NetworkDisabled: loopback only."""


Target = tuple[Network, EndpointSettings]


def mode_of(request: Request) -> str:
    """`host`, `none`, `container`, or `bridge` for anything with endpoints."""
    mode = request.host.NetworkMode
    if mode.startswith("container:"):
        return "container"
    if request.disabled:
        return "none"
    return mode if mode in ALONE else "bridge"


def targets(request: Request, networks: Networks, *, default_bridge: bool = True) -> list[Target]:
    """The networks a container is to be on: the one that NetworkMode names, then the others by name."""
    if mode_of(request) == "container" or request.disabled:
        return []
    primary = networks.get(_canonical(request.host.NetworkMode))
    if primary.name == "bridge" and not default_bridge:
        primary = networks.get("none")
    found: dict[str, Target] = {primary.id: (primary, EndpointSettings())}
    for reference, settings in request.endpoints.items():
        network = networks.get(_canonical(reference))
        found[network.id] = (network, settings)
    first, *others = found.values()
    if others and any(network.name in ALONE for network, _ in found.values()):
        names = ", ".join(sorted(network.name for network, _ in found.values()))
        raise Conflict(f"container cannot be connected to several networks when one is host or none: {names}")
    for network, settings in found.values():
        check(network, settings)
    return [first, *sorted(others, key=lambda target: target[0].name)]


def _canonical(reference: str) -> str:
    return "bridge" if reference in ("", "default") else reference


def check(network: Network, settings: EndpointSettings) -> None:
    """Refuse what is asked of a container's end on a network and cannot be."""
    interface.check(settings.DriverOpts)
    asked = settings.IPAMConfig
    if asked and (asked.IPv4Address or asked.IPv6Address) and network.name in PREDEFINED:
        raise InvalidArgument("user specified IP address is supported on user defined networks only")
    if settings.Aliases and network.name in PREDEFINED and network.name != "bridge":
        raise InvalidArgument("network-scoped alias is supported only for containers in user defined networks")


def check_addresses(network: Network, settings: EndpointSettings) -> None:
    """Refuse addresses that a network does not have."""
    asked = settings.IPAMConfig
    for text in (asked.IPv4Address, asked.IPv6Address) if asked else ():
        if text and not network.predefined and not any(ip_address(text) in each.subnet for each in network.addressings):
            raise InvalidArgument(ipam.outside(ip_address(text)))


def default_gateway_first(found: list[Target], version: int) -> Network | None:
    """The network that gives a family's default route."""
    routed = [target for target in found if target[0].of(version) and not target[0].internal]
    return max(routed, key=lambda target: target[1].GwPriority)[0] if routed else None
