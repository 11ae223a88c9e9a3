"""Addresses of endpoints: taken from their network's pools, and given back. Nothing here touches the kernel."""

import secrets
from collections.abc import Collection
from ipaddress import ip_address

from protos.errdefs import EngineError, InvalidArgument
from services.dockerd.network import neighbours
from services.dockerd.network.addressing import Addressing
from services.dockerd.network.drivers import interface, options
from services.dockerd.network.endpoint import Endpoint, link_name
from services.dockerd.network.ipam import Address, mac_address
from services.dockerd.network.networks import Network
from services.dockerd.network.request import Request, Target
from services.dockerd.schema.container import EndpointSettings


def endpoint(request: Request, target: Target, taken: Collection[str]) -> Endpoint:
    """One with an address of each family that its network has; `taken` are names of interfaces that it cannot have."""
    network, asked = target
    made = Endpoint(secrets.token_hex(32), network.id, asked, names=neighbours.names_of(request, target))
    if not network.addressings:
        return made
    made.interface = interface.name(asked.DriverOpts, network.options.get(options.IFACE_PREFIX, ""), taken)
    try:
        for each in network.addressings:
            made.place(_address(each, asked), each.subnet.prefixlen, None if network.internal else each.exit)
    except EngineError:
        free(network, made)
        raise
    mac = asked.MacAddress or ("" if taken else request.mac_address) or mac_address(made.places[0].address)
    made.mac = mac.lower()
    made.link = link_name(request.container_id, network.id)
    return made


def endpoints(request: Request, found: list[Target]) -> list[Endpoint]:
    """All endpoints of a container, or none."""
    made: list[Endpoint] = []
    try:
        for target in found:
            made.append(endpoint(request, target, [each.interface for each in made]))
    except EngineError:
        for each, (network, _) in zip(made, found, strict=False):
            free(network, each)
        raise
    return made


def check(asked: EndpointSettings) -> None:
    """Refuse addresses that are none."""
    for version in (4, 6):
        _asked(asked, version)


def free(network: Network | None, end: Endpoint) -> None:
    """Give its addresses back."""
    for address, _, _ in end.places if network else ():
        addressing = network.of(address.version) if network else None
        if addressing and addressing.pool:
            addressing.pool.free(address)


def _address(addressing: Addressing, asked: EndpointSettings) -> Address:
    """A family's address: the one that is asked for, or any."""
    assert addressing.pool
    address = _asked(asked, addressing.version)
    if address is None:
        return addressing.pool.allocate()
    addressing.pool.reserve(address)
    return address


def _asked(asked: EndpointSettings, version: int) -> Address | None:
    text = getattr(asked.IPAMConfig, f"IPv{version}Address") if asked.IPAMConfig else None
    try:
        address = ip_address(text) if text else None
    except ValueError:
        address = None
    if text and (address is None or address.version != version):
        raise InvalidArgument(f"invalid endpoint settings:\ninvalid IPv{version} address: {text}")
    return address
