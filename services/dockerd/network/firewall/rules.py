"""Which packet filter rules a bridge and a published port need. Data: rules spelled as iptables-save spells them.

The shape is Docker's own: users put their rules in DOCKER-USER, which is passed first. What is published is allowed by
DOCKER, whose last rule drops the rest, so that a neighbour who routes to a container reaches its published ports alone.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from typing import Final, NamedTuple

from protos.binding import Binding, runs

DOCKER: Final = "DOCKER"
USER: Final = "DOCKER-USER"
FORWARD: Final = "DOCKER-FORWARD"
STAGE_1: Final = "DOCKER-ISOLATION-STAGE-1"
STAGE_2: Final = "DOCKER-ISOLATION-STAGE-2"
CHAINS: Final = {"filter": (DOCKER, FORWARD, STAGE_1, STAGE_2, USER), "nat": (DOCKER,)}


class Rule(NamedTuple):
    table: str
    chain: str
    match: str
    first: bool = False
    """Goes to the head of its chain; otherwise to the end."""

    def __str__(self) -> str:
        return f"-A {self.chain} {self.match}"


class Bridge(NamedTuple):
    """What rules need to know of a bridge network."""

    name: str
    subnet: IPv4Network
    masquerade: bool = True
    icc: bool = True
    """Containers of the network may talk to one another beyond published ports."""
    internal: bool = False
    proxied: bool = True
    """A userland proxy serves the host's own and the containers' connections to published ports."""


def base(proxied: bool) -> Iterator[Rule]:
    """What all bridges share. Heads of chains are given last first, since each goes before the one before."""
    local = "-m addrtype --dst-type LOCAL -j DOCKER"
    yield Rule("nat", "PREROUTING", local)
    yield Rule("nat", "OUTPUT", f"! -d 127.0.0.0/8 {local}" if proxied else local)
    yield Rule("filter", "FORWARD", f"-j {FORWARD}", first=True)
    yield Rule("filter", "FORWARD", f"-j {USER}", first=True)
    yield Rule("filter", FORWARD, f"-j {STAGE_1}", first=True)
    yield Rule("filter", STAGE_1, "-j RETURN")
    yield Rule("filter", STAGE_2, "-j RETURN")
    yield Rule("filter", USER, "-j RETURN")


def bridge(net: Bridge) -> Iterator[Rule]:
    name = net.name
    if net.internal:
        yield Rule("filter", STAGE_1, f"! -s {net.subnet} -o {name} -j DROP", first=True)
        yield Rule("filter", STAGE_1, f"! -d {net.subnet} -i {name} -j DROP", first=True)
    else:
        if net.masquerade:
            yield Rule("nat", "POSTROUTING", f"-s {net.subnet} ! -o {name} -j MASQUERADE", first=True)
        if net.proxied:
            yield Rule("nat", DOCKER, f"-i {name} -j RETURN", first=True)
        else:
            yield Rule("nat", "POSTROUTING", f"-o {name} -m addrtype --src-type LOCAL -j MASQUERADE", first=True)
        yield Rule("filter", STAGE_1, f"-i {name} ! -o {name} -j {STAGE_2}", first=True)
        yield Rule("filter", STAGE_2, f"-o {name} -j DROP", first=True)
        yield Rule("filter", FORWARD, f"-o {name} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
        yield Rule("filter", FORWARD, f"-o {name} -j {DOCKER}")
        yield Rule("filter", FORWARD, f"-i {name} ! -o {name} -j ACCEPT")
        yield Rule("filter", DOCKER, f"! -i {name} -o {name} -j DROP")
    yield Rule("filter", FORWARD, f"-i {name} -o {name} -j {'ACCEPT' if net.icc else 'DROP'}")


def port(net: Bridge, first: Binding, count: int = 1) -> Iterator[Rule]:
    """A published port, or a run of `count`. One on loopback is the proxy's alone; so is one on IPv6, since
    containers have IPv4."""
    if net.internal or ":" in first.host_ip or (net.proxied and first.host_ip.startswith("127.")):
        return
    protocol, address = first.protocol, first.container_ip
    match = f"-p {protocol} -m {protocol} --dport"
    inside = _span(first.container_port, count)
    if first.host_port == first.container_port:
        yield _dnat(net, first, _span(first.host_port, count), address)
    else:
        for each in range(count):
            yield _dnat(net, first, str(first.host_port + each), f"{address}:{first.container_port + each}")
    if not net.proxied:
        yield Rule("nat", "POSTROUTING", f"-s {address}/32 -d {address}/32 {match} {inside} -j MASQUERADE")
    towards = f"-d {address}/32 ! -i {net.name} -o {net.name}"
    yield Rule("filter", DOCKER, f"{towards} {match} {inside} -j ACCEPT", first=True)


def _dnat(net: Bridge, binding: Binding, span: str, target: str) -> Rule:
    host = "" if binding.host_ip == "0.0.0.0" else f"-d {binding.host_ip}/32 "
    away = f"! -i {net.name} " if net.proxied else ""
    match = f"-p {binding.protocol} -m {binding.protocol} --dport {span}"
    return Rule("nat", DOCKER, f"{host}{away}{match} -j DNAT --to-destination {target}")


def _span(first: int, count: int) -> str:
    return f"{first}:{first + count - 1}" if count > 1 else str(first)


def ports(net: Bridge, bindings: Iterable[Binding]) -> list[Rule]:
    """Rules of many, each once: a container port published twice is allowed once."""
    return list(dict.fromkeys(rule for first, count in runs(bindings) for rule in port(net, first, count)))
