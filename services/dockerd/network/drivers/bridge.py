"""The bridge driver: the bridge itself, and the veth pair that joins a container to it. Blocking; for threads."""

import contextlib
import errno
import os
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Final

from protos.errdefs import Internal, InvalidArgument, NotFound
from services.dockerd.network import netlink, netns
from services.dockerd.network.config import NetworkConfig
from services.dockerd.network.endpoint import Endpoint
from services.dockerd.network.ipam import DEFAULT_POOLS, choose, mac_address
from services.dockerd.network.networks import MTU, OPTION, Network

DEFAULT_LINK: Final = "docker0"
DEFAULT_MTU: Final = 1500
LOOPBACK: Final = 1
"""Its index in every namespace."""


def plan_default(network: Network, config: NetworkConfig) -> None:
    """Give the predefined network `bridge` its subnet, gateway and options, by the flags and by what exists."""
    link = config.bridge or DEFAULT_LINK
    with netlink.Socket() as kernel:
        found = kernel.link(link)
        if config.bridge and not found:
            raise NotFound(f"bridge device with non default name {link} must be created manually")
        there = kernel.addresses(found.index) if found else []
        routes = kernel.routes()
    addresses = [IPv4Interface(f"{address}/{prefix}") for address, prefix in there if isinstance(address, IPv4Address)]
    if config.bip:
        interface = _interface(config.bip, "--bip")
    elif addresses:
        interface = addresses[0]
    else:
        taken = [IPv4Network((int(each), prefix)) for each, prefix in routes if isinstance(each, IPv4Address)]
        subnet = choose(DEFAULT_POOLS, taken)
        interface = IPv4Interface((subnet[1], subnet.prefixlen))
    network.subnet, network.gateway = interface.network, interface.ip
    network.ip_range = _network(config.fixed_cidr, "--fixed-cidr") if config.fixed_cidr else None
    network.options = {
        f"{OPTION}default_bridge": "true",
        f"{OPTION}enable_icc": str(config.icc).lower(),
        f"{OPTION}enable_ip_masquerade": str(config.ip_masq).lower(),
        f"{OPTION}host_binding_ipv4": config.default_bind_ip or "0.0.0.0",
        f"{OPTION}name": link,
        MTU: str(config.mtu or DEFAULT_MTU),
    }


def _interface(text: str, flag: str) -> IPv4Interface:
    try:
        return IPv4Interface(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid {flag} {text!r}: {error}") from None


def _network(text: str, flag: str) -> IPv4Network:
    try:
        return IPv4Network(text, strict=False)
    except ValueError as error:
        raise InvalidArgument(f"invalid {flag} {text!r}: {error}") from None


def ensure(network: Network, *, route_localnet: bool = False) -> None:
    """Make the bridge, or mend it: its address, and that it is up. `route_localnet` lets rules alone, without a proxy,
    bring the host's loopback connections to containers."""
    assert network.gateway and network.subnet
    gateway, subnet = network.gateway, network.subnet
    with netlink.Socket() as kernel:
        link = kernel.link(network.link)
        if link is None:
            kernel.run(netlink.add_bridge(network.link, mac_address(gateway), mtu_of(network)))
            link = kernel.link(network.link)
        elif link.kind != "bridge":
            raise Internal(f"{network.link} is not a bridge but of the kind {link.kind or 'hardware'}")
        assert link
        there = [each for each in kernel.addresses(link.index) if each[0].version == 4]
        for address, prefix in there:
            if (address, prefix) != (gateway, subnet.prefixlen):
                kernel.run(netlink.delete_address(link.index, address, prefix))
        if (gateway, subnet.prefixlen) not in there:
            kernel.run(netlink.add_address(link.index, gateway, subnet.prefixlen, subnet.broadcast_address))
        if not link.up:
            kernel.run(netlink.link_up(link.index))
    if route_localnet:
        Path(f"/proc/sys/net/ipv4/conf/{network.link}/route_localnet").write_text("1")


def mtu_of(network: Network) -> int:
    return int(network.options.get(MTU) or DEFAULT_MTU)


def remove(network: Network) -> None:
    """Fine if it is gone."""
    unplug(network.link)


def loopback_up() -> None:
    """In the namespace of the calling thread."""
    with netlink.Socket() as kernel:
        kernel.run(netlink.link_up(LOOPBACK))


def plug(netns_path: Path, network: Network, endpoint: Endpoint, *, hairpin: bool, default_route: bool) -> None:
    """Join a namespace to the bridge: `endpoint` says by what names and addresses."""
    descriptor = os.open(netns_path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with netlink.Socket() as kernel:
            bridge = kernel.link(network.link)
            if bridge is None:
                raise NotFound(f"bridge {network.link} of network {network.name} is gone; restart dockerd to get it")
            mtu = mtu_of(network)
            pair = netlink.add_veth(endpoint.link, bridge.index, mtu, endpoint.interface, endpoint.mac, descriptor)
            try:
                kernel.run(pair)
            except FileExistsError:  # left by a crash
                kernel.run(netlink.delete_link(endpoint.link), pair)
            if hairpin and (link := kernel.link(endpoint.link)):
                kernel.run(netlink.set_hairpin(link.index))
    finally:
        os.close(descriptor)
    netns.inside(netns_path, lambda: _fill(endpoint, default_route))


def _fill(endpoint: Endpoint, default_route: bool) -> None:
    """Inside the container's namespace."""
    assert endpoint.address
    # Before it is up: an interface without an IPv6 address is to have no link-local one either.
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        Path(f"/proc/sys/net/ipv6/conf/{endpoint.interface}/disable_ipv6").write_text("1")
    with netlink.Socket() as kernel:
        link = kernel.link(endpoint.interface)
        if link is None:
            raise Internal(f"{endpoint.interface} is not in its namespace")
        steps = [
            netlink.add_address(link.index, endpoint.address, endpoint.prefix, broadcast_of(endpoint)),
            netlink.link_up(link.index),
        ]
        if default_route and endpoint.gateway:
            steps.append(netlink.add_default_route(endpoint.gateway, link.index))
        kernel.run(*steps)


def broadcast_of(endpoint: Endpoint) -> IPv4Address:
    return IPv4Network((int(endpoint.address or 0), endpoint.prefix), strict=False).broadcast_address


def is_plugged(network: Network, endpoint: Endpoint) -> bool:
    """Whether an endpoint's link is there and on its bridge."""
    with netlink.Socket() as kernel:
        link, bridge = kernel.link(endpoint.link), kernel.link(network.link)
    return link is not None and bridge is not None and link.master == bridge.index


def unplug(link: str) -> None:
    """Delete a link; fine if there is none."""
    with netlink.Socket() as kernel:
        try:
            kernel.run(netlink.delete_link(link))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
