"""Which host ports a container is to have, and which are taken. Pure: the kernel's own refusals come in portmap.py."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final

from protos.binding import PROTOCOLS, Binding
from protos.errdefs import Internal, InvalidArgument
from services.dockerd.schema.container import PortBinding

EVERY: Final = ("0.0.0.0", "::")
DEFAULT_RANGE: Final = range(49153, 65536)


@dataclass(frozen=True, slots=True)
class Wish:
    """A port to publish: on all of `addresses` by the same number, taken out of `ports` (empty: an ephemeral one)."""

    protocol: str
    container_port: int
    addresses: tuple[str, ...]
    ports: range
    optional: frozenset[str] = frozenset()
    """Addresses that may be left out where the host lacks their family."""


def parse_exposed(text: str) -> tuple[int, str]:
    """`80/tcp`, or `80`, to (80, "tcp")."""
    number, _, protocol = text.partition("/")
    protocol = (protocol or "tcp").lower()
    if not number.isdigit() or not 0 < int(number) < 65536 or protocol not in PROTOCOLS:
        raise InvalidArgument(f"invalid port specification: {text!r}")
    return int(number), protocol


def parse_range(text: str) -> range:
    """`8080`, `8000-8010`, or "" for an ephemeral port, which is an empty range."""
    first, dash, last = text.strip().partition("-")
    if not first and not dash:
        return range(0)
    try:
        ports = range(int(first), int(last if dash else first) + 1)
    except ValueError:
        ports = range(0)
    if not ports or ports[0] < 0 or ports[-1] > 65535:
        raise InvalidArgument(f"invalid port specification: {text!r}")
    return ports if ports[-1] else range(0)


def wishes(
    bindings: Mapping[str, Sequence[PortBinding] | None] | None,
    exposed: Collection[str],
    publish_all: bool,
    default_ip: str = "",
) -> list[Wish]:
    """What HostConfig's PortBindings and PublishAllPorts ask for, in the order of container ports."""
    asked = dict(bindings or {})
    if publish_all:
        for port in exposed:
            if not asked.get(port):
                asked[port] = [PortBinding()]
    found = []
    for text, each in sorted(asked.items(), key=lambda item: parse_exposed(item[0])):
        number, protocol = parse_exposed(text)
        found += [_wish(protocol, number, binding, default_ip) for binding in each or ()]
    # Fixed ports before ephemeral ones, which could otherwise take them.
    return sorted(found, key=lambda wish: len(wish.ports) != 1)


def _wish(protocol: str, number: int, binding: PortBinding, default_ip: str) -> Wish:
    address = binding.HostIp or default_ip
    ports = parse_range(binding.HostPort)
    if not address:
        return Wish(protocol, number, EVERY, ports, frozenset(EVERY))
    try:
        return Wish(protocol, number, (str(ip_address(address.strip("[]"))),), ports)
    except ValueError:
        raise InvalidArgument(f"invalid host IP address: {address!r}") from None


def routed(asked: Iterable[Wish], container_ips: Iterable[str]) -> list[Binding]:
    """What wishes mean for addresses reached without translation: a port of the container, none of the host."""
    return list(dict.fromkeys(
        Binding(wish.protocol, EVERY[":" in address], 0, address, wish.container_port)
        for wish in asked for address in container_ips))


def translated(asked: Iterable[Wish], bare: Collection[str]) -> list[Wish]:
    """Wishes without host addresses of the families that are reached without translation."""
    families = {":" in each for each in bare}
    kept = [(wish, tuple(each for each in wish.addresses if (":" in each) not in families)) for wish in asked]
    return [replace(wish, addresses=addresses) for wish, addresses in kept if addresses]


class Taken:
    """Host ports of all containers: (protocol, address, port) to the container's name. An address on every interface
    excludes the same port on each."""

    def __init__(self) -> None:
        self._ports: dict[tuple[str, int], dict[str, str]] = {}
        self._last: dict[str, int] = {}

    def holder(self, protocol: str, addresses: Sequence[str], port: int) -> tuple[str, str] | None:
        """(address, container) that stands in the way, if any."""
        held = self._ports.get((protocol, port))
        if not held:
            return None
        return next(((a, held[h]) for a in addresses for h in held if overlap(a, h)), None)

    def add(self, binding: Binding, owner: str) -> None:
        self._ports.setdefault((binding.protocol, binding.host_port), {})[binding.host_ip] = owner

    def remove(self, binding: Binding) -> None:
        key = (binding.protocol, binding.host_port)
        held = self._ports.get(key, {})
        held.pop(binding.host_ip, None)
        if not held:
            self._ports.pop(key, None)

    def candidates(self, wish: Wish, ephemeral: range) -> Iterator[int]:
        """Ports to try for a wish, free as far as containers go."""
        if len(wish.ports) == 1:
            port = wish.ports[0]
            if held := self.holder(wish.protocol, wish.addresses, port):
                raise already_allocated(wish.addresses[0], port, held[1])
            yield port
            return
        for port in wish.ports or self._rotate(wish.protocol, ephemeral):
            if not self.holder(wish.protocol, wish.addresses, port):
                self._last[wish.protocol] = port
                yield port
        raise Internal(f"all ports are allocated: none is free in {_spell(wish.ports or ephemeral)}/{wish.protocol}")

    def _rotate(self, protocol: str, ephemeral: range) -> Iterator[int]:
        """Begin after the one given last, so that a port just let go is not given at once."""
        start = self._last.get(protocol, ephemeral[-1]) + 1 - ephemeral[0]
        for offset in range(len(ephemeral)):
            yield ephemeral[(start + offset) % len(ephemeral)]


def overlap(one: str, other: str) -> bool:
    """Whether a port on one address excludes it on the other."""
    if (":" in one) != (":" in other):
        return False
    return one == other or one in EVERY or other in EVERY


def already_allocated(address: str, port: int, owner: str) -> Internal:
    shown = f"[{address}]" if ":" in address else address
    return Internal(f"Bind for {shown}:{port} failed: port is already allocated (by container {owner})")


def ephemeral_range(text: str) -> range:
    """The content of net.ipv4.ip_local_port_range as a range."""
    try:
        first, last = (int(word) for word in text.split())
    except ValueError:
        return DEFAULT_RANGE
    return range(first, last + 1) if 0 < first <= last < 65536 else DEFAULT_RANGE


def _spell(ports: range) -> str:
    return f"{ports[0]}-{ports[-1]}"
