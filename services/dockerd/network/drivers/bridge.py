"""The bridge driver: the bridge itself, and the veth pair that joins a container to it. Blocking; for threads."""

import contextlib
import errno
import os
import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network
from pathlib import Path
from typing import Final

from protos.errdefs import Internal, NotFound, Unavailable
from services.dockerd.network import netlink, netns
from services.dockerd.network.config import NetworkConfig
from services.dockerd.network.drivers import default, interface, options
from services.dockerd.network.endpoint import Endpoint
from services.dockerd.network.ipam import mac_address
from services.dockerd.network.networks import Network

DEFAULT_LINK: Final = "docker0"
DEFAULT_MTU: Final = 1500
LOOPBACK: Final = 1
"""Its index in every namespace."""
LINK_LOCAL: Final = (IPv6Address("fe80::1"), 64)
"""What every bridge with IPv6 has beside its gateway."""
MACHINE_ID: Final = Path("/etc/machine-id")
BRIDGE_NF: Final = {
    4: Path("/proc/sys/net/bridge/bridge-nf-call-iptables"), 6: Path("/proc/sys/net/bridge/bridge-nf-call-ip6tables"),
}


def plan_default(network: Network, config: NetworkConfig) -> None:
    """Give the predefined network `bridge` its addresses and options, by the flags and by what exists."""
    link = config.bridge or DEFAULT_LINK
    with netlink.Socket() as kernel:
        found = kernel.link(link)
        if config.bridge and not found:
            raise NotFound(f"bridge device with non default name {link} must be created manually")
        there = kernel.addresses(found.index) if found else []
        taken = [ip_network((address, prefix)) for address, prefix in kernel.routes()]
    network.v4 = default.plan(config, there, taken, host_identity(), 4)
    network.v6 = default.plan(config, there, taken, host_identity(), 6) if config.ipv6 else None
    network.options = {
        options.DEFAULT_BRIDGE: "true",
        options.ICC: str(config.icc).lower(),
        options.MASQUERADE: str(config.ip_masq).lower(),
        options.BIND_IP: config.default_bind_ip or "0.0.0.0",
        options.LINK: link,
        options.MTU: str(config.mtu or DEFAULT_MTU),
    }


def host_identity() -> str:
    """What tells this machine from others, for addresses that are to be its own."""
    try:
        return MACHINE_ID.read_text().strip() or socket.gethostname()
    except OSError:
        return socket.gethostname()


def exists(link: str) -> bool:
    with netlink.Socket() as kernel:
        return kernel.link(link) is not None


def ensure(network: Network, *, route_localnet: bool = False, given: bool = False) -> None:
    """Make the bridge, or mend it: its addresses, and that it is up. `route_localnet` lets rules alone, without a
    proxy, bring the host's loopback connections to containers. `given`: its other addresses are somebody else's."""
    first, *_ = network.addressings
    with netlink.Socket() as kernel:
        link = kernel.link(network.link)
        if link is None:
            kernel.run(netlink.add_bridge(network.link, mac_address(first.gateway or first.subnet[0]), mtu_of(network)))
            link = kernel.link(network.link)
        elif link.kind != "bridge":
            raise Internal(f"{network.link} is not a bridge but of the kind {link.kind or 'hardware'}")
        assert link
        if not given and link.mtu != mtu_of(network):
            kernel.run(netlink.set_mtu(link.index, mtu_of(network)))
        if network.v6:
            _allow_ipv6(network.link, allowed=network.mode(6) != options.ISOLATED)
        _address(kernel, link.index, network, given)
        if not link.up:
            kernel.run(netlink.link_up(link.index))
    if route_localnet and network.v4:
        Path(f"/proc/sys/net/ipv4/conf/{network.link}/route_localnet").write_text("1")


def _address(kernel: netlink.Socket, index: int, network: Network, given: bool) -> None:
    """The bridge has the addresses that the network says, and of their families no others."""
    there = kernel.addresses(index)
    for each in network.addressings:
        if network.mode(each.version) == options.ISOLATED or (each.version == 4 and _inhibited(network)):
            continue
        wanted = [(each.gateway, each.subnet.prefixlen)] if each.gateway else []
        wanted += [LINK_LOCAL] * (each.version == 6)
        for address, prefix in there:
            spare = address.version == each.version and (address, prefix) not in wanted
            if spare and not given and not address.is_link_local:
                kernel.run(netlink.delete_address(index, address, prefix))
        for address, prefix in wanted:
            if (address, prefix) not in there:
                broadcast = each.subnet.broadcast_address
                kernel.run(netlink.add_address(
                    index, address, prefix, broadcast if isinstance(broadcast, IPv4Address) else None))


def _inhibited(network: Network) -> bool:
    """The user gives the bridge its address, or has somebody else be the gateway."""
    return options.flag(network.options, options.INHIBIT_IPV4, False)


def _allow_ipv6(link: str, *, allowed: bool) -> None:
    """Addresses may be given to it, or not even one of its own, and nobody's advertisements are listened to."""
    directory = Path(f"/proc/sys/net/ipv6/conf/{link}")
    try:
        (directory / "disable_ipv6").write_text("0" if allowed else "1")
    except FileNotFoundError:
        raise Unavailable(f"bridge {link} cannot have IPv6: the kernel is without it (ipv6.disable=1?)") from None
    (directory / "accept_ra").write_text("0")


def filters(version: int) -> bool:
    """Whether the packet filter sees what containers of one bridge send each other."""
    try:
        return BRIDGE_NF[version].read_text().strip() == "1"
    except OSError:
        return False


def filter_bridges(versions: Collection[int]) -> None:
    """Have the packet filter see what containers of one bridge send each other."""
    for name in [BRIDGE_NF[version] for version in versions]:
        try:
            if name.read_text().strip() != "1":
                name.write_text("1")
        except FileNotFoundError:
            what = "cannot restrict inter-container communication or run without the userland proxy"
            why = "please ensure that br_netfilter kernel module is loaded"
            raise Unavailable(f"{what}: stat {name}: no such file or directory: {why}") from None


def mtu_of(network: Network) -> int:
    return int(network.options.get(options.MTU) or 0) or DEFAULT_MTU


def remove(network: Network) -> None:
    """Fine if it is gone; one that was there before its network stays."""
    if not network.given:
        unplug(network.link)


def loopback_up() -> None:
    """In the namespace of the calling thread."""
    with netlink.Socket() as kernel:
        kernel.run(netlink.link_up(LOOPBACK))


def plug(netns_path: Path, network: Network, endpoint: Endpoint, *, hairpin: bool, routes: Collection[int]) -> None:
    """Join a namespace to the bridge: `endpoint` says by what names and addresses, `routes` the families whose default
    route goes there."""
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
    netns.inside(netns_path, lambda: _fill(endpoint, routes))


def _fill(endpoint: Endpoint, routes: Collection[int]) -> None:
    """Inside the container's namespace."""
    # Before it is up: an interface without an IPv6 address is to have no link-local one either.
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        settings = Path(f"/proc/sys/net/ipv6/conf/{endpoint.interface}")
        (settings / "disable_ipv6").write_text("0" if endpoint.address6 else "1")
        if endpoint.address6:
            (settings / "accept_dad").write_text("0")
    with netlink.Socket() as kernel:
        link = kernel.link(endpoint.interface)
        if link is None:
            raise Internal(f"{endpoint.interface} is not in its namespace")
        steps = [
            netlink.add_address(link.index, address, prefix, broadcast_of(endpoint) if address.version == 4 else None)
            for address, prefix, _ in endpoint.places
        ]
        steps.append(netlink.link_up(link.index))
        steps += [
            netlink.add_default_route(gateway, link.index)
            for _, _, gateway in endpoint.places if gateway and gateway.version in routes
        ]
        kernel.run(*steps)
    interface.configure(endpoint.interface, endpoint.asked.DriverOpts)


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
