"""Which packet filter rules a bridge and a published port need. Data: rules spelled as iptables-save spells them.

The shape is Docker's own: users put their rules in DOCKER-USER, which is passed first. What is published is allowed by
DOCKER, whose last rule drops the rest. Who routes to a container from elsewhere is dropped in table raw, before a
translation could make him look like one who came by a published port.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Final, NamedTuple

from protos.binding import Binding, runs
from services.dockerd.network.drivers.options import ROUTED, UNPROTECTED
from services.dockerd.network.ipam import Subnet

DOCKER: Final = "DOCKER"
USER: Final = "DOCKER-USER"
FORWARD: Final = "DOCKER-FORWARD"
STAGE_1: Final = "DOCKER-ISOLATION-STAGE-1"
STAGE_2: Final = "DOCKER-ISOLATION-STAGE-2"
CHAINS: Final = {"raw": (), "filter": (DOCKER, FORWARD, STAGE_1, STAGE_2, USER), "nat": (DOCKER,)}
LOOPBACK: Final = {4: "127.0.0.0/8", 6: "::1/128"}


class Rule(NamedTuple):
    table: str
    chain: str
    match: str
    first: bool = False
    """Goes to the head of its chain; otherwise to the end."""
    family: int = 4

    def __str__(self) -> str:
        return f"-A {self.chain} {self.match}"


class Bridge(NamedTuple):
    """What rules need to know of a bridge network."""

    name: str
    subnets: tuple[Subnet, ...]
    """One of each family that it has."""
    masquerade: bool = True
    icc: bool = True
    """Containers of the network may talk to one another beyond published ports."""
    internal: bool = False
    proxied: bool = True
    """A userland proxy serves the host's own and the containers' connections to published ports."""
    direct: bool = False
    """Who routes to a container's own address reaches its published ports."""
    mark: str = ""
    """Packets with this firewall mark pass, published or not."""
    bind_ip: str = ""
    """Host address of ports published without one; "" is every address."""
    modes: Mapping[int, str] = {}
    """Family to gateway mode; what is not in it is `nat`."""
    sources: Mapping[int, str] = {}
    """Family to the host's address that containers go out by; "" has the kernel choose."""
    trusted: tuple[str, ...] = ()
    """Interfaces of the host from which published ports are reached by containers' own addresses."""

    def disguise(self, version: int) -> str:
        """The target that hides containers behind the host."""
        source = self.sources.get(version)
        return f"SNAT --to-source {source}" if source else "MASQUERADE"

    def routed(self, version: int) -> bool:
        return self.modes.get(version) == ROUTED

    def open(self, version: int) -> bool:
        """Whether who routes to a container's address is let through to the chain DOCKER, also from other bridges."""
        return self.modes.get(version) in (ROUTED, UNPROTECTED)


class Link(NamedTuple):
    """A container that may use a port of another, though the network keeps them apart."""

    user: str
    server: str
    """Addresses of both."""
    port: int
    protocol: str


def base(proxied: bool, family: int = 4) -> Iterator[Rule]:
    """What all bridges share. Heads of chains are given last first, since each goes before the one before."""
    for rule in _base(proxied, family):
        yield rule._replace(family=family)


def _base(proxied: bool, family: int) -> Iterator[Rule]:
    local = "-m addrtype --dst-type LOCAL -j DOCKER"
    yield Rule("nat", "PREROUTING", local)
    # IPv6 has no way from loopback to elsewhere, whatever is translated.
    yield Rule("nat", "OUTPUT", f"! -d {LOOPBACK[family]} {local}" if proxied or family == 6 else local)
    yield Rule("filter", "FORWARD", f"-j {FORWARD}", first=True)
    yield Rule("filter", "FORWARD", f"-j {USER}", first=True)
    yield Rule("filter", FORWARD, f"-j {STAGE_1}", first=True)
    yield Rule("filter", STAGE_1, "-j RETURN")
    yield Rule("filter", STAGE_2, "-j RETURN")
    yield Rule("filter", USER, "-j RETURN")


def bridge(net: Bridge) -> Iterator[Rule]:
    for subnet in net.subnets:
        for rule in _bridge(net, subnet):
            yield rule._replace(family=subnet.version)


def _bridge(net: Bridge, subnet: Subnet) -> Iterator[Rule]:
    name = net.name
    if net.internal:
        # What neighbours of IPv6 ask one another goes to and from addresses outside the subnet.
        into, out = ("", "") if subnet.version == 4 else (f" ! -i {name}", f" ! -o {name}")
        yield Rule("filter", STAGE_1, f"! -s {subnet}{into} -o {name} -j DROP", first=True)
        yield Rule("filter", STAGE_1, f"! -d {subnet} -i {name}{out} -j DROP", first=True)
    else:
        yield from _nat(net, subnet)
        # Who may come from another bridge is to have his answers.
        fresh = " -m conntrack ! --ctstate RELATED,ESTABLISHED" if net.open(subnet.version) else ""
        yield Rule("filter", STAGE_1, f"-i {name} ! -o {name}{fresh} -j {STAGE_2}", first=True)
        others = DOCKER if net.open(subnet.version) else "DROP"
        yield Rule("filter", STAGE_2, f"-o {name} -j {others}", first=True)
        yield Rule("filter", FORWARD, f"-o {name} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
        yield Rule("filter", FORWARD, f"-o {name} -j {DOCKER}")
        yield Rule("filter", FORWARD, f"-i {name} ! -o {name} -j ACCEPT")
        if net.mark:
            yield Rule("filter", DOCKER, f"! -i {name} -o {name} -m mark --mark {net.mark} -j ACCEPT")
        if net.routed(subnet.version):
            protocol = "icmp" if subnet.version == 4 else "ipv6-icmp"
            yield Rule("filter", DOCKER, f"-o {name} -p {protocol} -j ACCEPT")
        last = "ACCEPT" if net.modes.get(subnet.version) == UNPROTECTED else "DROP"
        yield Rule("filter", DOCKER, f"! -i {name} -o {name} -j {last}")
    yield Rule("filter", FORWARD, f"-i {name} -o {name} -j {'ACCEPT' if net.icc else 'DROP'}")


def _nat(net: Bridge, subnet: Subnet) -> Iterator[Rule]:
    name = net.name
    hide = net.disguise(subnet.version)
    if net.masquerade and not net.routed(subnet.version):
        yield Rule("nat", "POSTROUTING", f"-s {subnet} ! -o {name} -j {hide}", first=True)
    if net.proxied:
        yield Rule("nat", DOCKER, f"-i {name} -j RETURN", first=True)
    else:
        yield Rule("nat", "POSTROUTING", f"-o {name} -m addrtype --src-type LOCAL -j {hide}", first=True)
        if subnet.version == 4:  # route_localnet is for answers, not for containers that ask the host's loopback
            yield Rule("raw", "PREROUTING", f"-d {LOOPBACK[4]} -i {name} -j DROP")


def port(net: Bridge, first: Binding, count: int = 1) -> Iterator[Rule]:
    """A published port, or a run of `count`."""
    version = ip_address(first.container_ip).version
    if net.internal:
        return
    yield from _shield(net, first, count)
    if not _translated(net, first, version):
        return
    address = f"{first.container_ip}/{'32' if version == 4 else '128'}"
    for part in (_translate(net, first, count, address) if first.host_port else (), _admit(net, first, count, address)):
        for rule in part:
            yield rule._replace(family=version)


def _shield(net: Bridge, first: Binding, count: int) -> Iterator[Rule]:
    """A port on loopback is the host's own, also where some route_localnet would let neighbours in. IPv6 has none."""
    host = ip_address(first.host_ip)
    if host.is_loopback and host.version == 4 and first.host_port:
        match = f"-d {host}/32 ! -i lo -p {first.protocol} -m {first.protocol} --dport {_span(first.host_port, count)}"
        yield Rule("raw", "PREROUTING", f"{match} {_note(net)} -j DROP")


def _translated(net: Bridge, first: Binding, version: int) -> bool:
    """Whether the packet filter forwards it. From one family to the other, and from loopback, the proxy does; without
    one IPv4 comes from loopback too, by route_localnet."""
    host = ip_address(first.host_ip)
    return host.version == version and not (host.is_loopback and (net.proxied or version == 6))


def _translate(net: Bridge, first: Binding, count: int, address: str) -> Iterator[Rule]:
    inside = _span(first.container_port, count)
    bare = first.container_ip
    if first.host_port == first.container_port:
        yield _dnat(net, first, _span(first.host_port, count), bare)
    else:
        for each in range(count):
            target = f"[{bare}]" if ":" in bare else bare
            yield _dnat(net, first, str(first.host_port + each), f"{target}:{first.container_port + each}")
    if not net.proxied:
        match = f"-p {first.protocol} -m {first.protocol} --dport {inside}"
        yield Rule("nat", "POSTROUTING", f"-s {address} -d {address} {match} -j MASQUERADE")


def _admit(net: Bridge, first: Binding, count: int, address: str) -> Iterator[Rule]:
    """Let in to a published port, and keep out who routes to the container's own address, unless that is the way."""
    version = ip_address(first.container_ip).version
    match = f"-p {first.protocol} -m {first.protocol} --dport {_span(first.container_port, count)}"
    towards = f"-d {address} ! -i {net.name} -o {net.name}"
    yield Rule("filter", DOCKER, f"{towards} {match} -j ACCEPT", first=True)
    if not net.direct and not net.open(version):
        for trusted in net.trusted:
            yield Rule("raw", "PREROUTING", f"-d {address} -i {trusted} {_note(net)} -j ACCEPT", first=True)
        mark = f" -m mark ! --mark {net.mark}" if net.mark else ""
        yield Rule("raw", "PREROUTING", f"-d {address} ! -i {net.name}{mark} -j DROP")


def _dnat(net: Bridge, binding: Binding, span: str, target: str) -> Rule:
    host = ip_address(binding.host_ip)
    where = "" if host.is_unspecified else f"-d {host}/{host.max_prefixlen} "
    away = f"! -i {net.name} " if net.proxied else ""
    match = f"-p {binding.protocol} -m {binding.protocol} --dport {span}"
    return Rule("nat", DOCKER, f"{where}{away}{match} -j DNAT --to-destination {target}")


def _note(net: Bridge) -> str:
    """Whose rule it is, should it be left behind."""
    return f"-m comment --comment {_quoted(net.name)}"


def _quoted(text: str) -> str:
    """As iptables-save prints it."""
    return text if text.replace("-", "").replace("_", "").isalnum() else f'"{text}"'


def _span(first: int, count: int) -> str:
    return f"{first}:{first + count - 1}" if count > 1 else str(first)


def ports(net: Bridge, bindings: Iterable[Binding]) -> list[Rule]:
    """Rules of many, each once: a container port published twice is allowed once."""
    return list(dict.fromkeys(rule for first, count in runs(bindings) for rule in port(net, first, count)))


def links(net: Bridge, found: Iterable[Link]) -> list[Rule]:
    """Legacy links let two containers talk where icc=false keeps them apart; there and back."""
    rules: list[Rule] = []
    for link in found if not net.icc else ():
        within = f"-i {net.name} -o {net.name} -p {link.protocol} -m {link.protocol}"
        there = f"-s {link.user}/32 -d {link.server}/32 {within} --dport {link.port} -j ACCEPT"
        back = f"-s {link.server}/32 -d {link.user}/32 {within} --sport {link.port} -j ACCEPT"
        rules += [Rule("filter", DOCKER, match, first=True) for match in (there, back)]
    return rules
