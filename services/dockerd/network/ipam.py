"""Address pools: which subnet a network gets, and which address an endpoint. Pure; the caller says what is taken."""

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from protos.errdefs import Conflict, Internal, InvalidArgument, PermissionDenied

Address = IPv4Address | IPv6Address
Subnet = IPv4Network | IPv6Network
Pools = Iterable[tuple[str, int]]
"""(base, prefix length of each network)."""

DEFAULT_BRIDGE: Final = IPv4Network("172.17.0.0/16")
DEFAULT_POOLS: Final[tuple[tuple[str, int], ...]] = (
    *((f"172.{number}.0.0/16", 16) for number in range(17, 32)),
    ("192.168.0.0/16", 20),
)
OVERLAP: Final = "Pool overlaps with other one on this address space"


class Pool:
    """The addresses of one subnet. The lowest free one is given first, as Docker does."""

    def __init__(self, subnet: Subnet, ip_range: Subnet | None = None, owner: str = "") -> None:
        if ip_range and not within(ip_range, subnet):
            raise InvalidArgument(f"invalid subnet {ip_range}: it is not within {subnet}")
        self.subnet = subnet
        self.ip_range = ip_range
        self._owner = owner
        self._used: set[int] = {int(subnet.network_address)}
        if subnet.version == 4:
            self._used.add(int(subnet.broadcast_address))
        span = ip_range or subnet
        self._first, self._last = int(span.network_address), int(span.broadcast_address)
        self._hint = self._first
        """Below it, everything is taken."""

    def __contains__(self, address: Address) -> bool:
        return int(address) in self._used

    def __len__(self) -> int:
        """Addresses taken, those of the network itself and of broadcast among them."""
        return len(self._used)

    def allocate(self) -> Address:
        number = self._hint
        while number <= self._last:
            if number not in self._used:
                self._used.add(number)
                self._hint = number + 1
                return type(self.subnet.network_address)(number)
            number += 1
        family = f"IPv{self.subnet.version}"
        whose = self._owner or self.subnet
        raise Internal(f"no available {family} addresses on this network's address pools: {whose}")

    def reserve(self, address: Address) -> None:
        """Take one address; Conflict where it is taken."""
        if address not in self.subnet:
            raise InvalidArgument(outside(address))
        if int(address) in self._used:
            raise Conflict("Address already in use")
        self._used.add(int(address))

    def free(self, address: Address) -> None:
        number = int(address)
        self._used.discard(number)
        if self._first <= number < self._hint:
            self._hint = number


def within(inner: Subnet, outer: Subnet) -> bool:
    """Whether all of `inner` is in `outer`; never across families."""
    return inner.network_address in outer and inner.prefixlen >= outer.prefixlen


def overlaps(one: Subnet, other: Subnet) -> bool:
    return within(one, other) or within(other, one)


def candidates(pools: Pools, version: int = 4) -> Iterator[Subnet]:
    """Subnets of one family in the order they are given out."""
    for base, size in pools:
        network = ip_network(base)
        if network.version == version:
            yield from network.subnets(new_prefix=size)


def choose(pools: Pools, taken: Iterable[Subnet], version: int = 4) -> Subnet:
    """The first subnet that touches nothing in use: other networks, and routes of the host."""
    used = [each for each in taken if each.prefixlen and each.version == version]
    tried = 0
    for subnet in candidates(pools, version):
        tried += 1
        if not any(overlaps(subnet, each) for each in used):
            return subnet
    raise Internal(
        "all predefined address pools have been fully subnetted: could not find an available, non-overlapping "
        f"IPv{version} address pool among {tried} tried; give the network one (--subnet), or dockerd more "
        "(--default-address-pool)"
    )


def pools(given: tuple[tuple[str, int], ...], host: str, version: int) -> tuple[tuple[str, int], ...]:
    """What `--default-address-pool` says of a family, or else Docker's own list: for IPv6 one that is this host's."""
    mine = tuple(each for each in given if (":" in each[0]) == (version == 6))
    if version == 4:
        return mine if given else DEFAULT_POOLS
    return mine or ((unique_local(host), 64),)


def unique_local(host: str) -> str:
    """The /48 of RFC 4193 that follows from what identifies a host."""
    number = int.from_bytes(b"\xfd" + hashlib.sha256(host.encode()).digest()[:5], "big") << 80
    return f"{IPv6Address(number)}/48"


def check_overlap(subnet: Subnet, networks: Iterable[Subnet]) -> None:
    if any(overlaps(subnet, each) for each in networks):
        raise PermissionDenied(f"invalid pool request: {OVERLAP}")


def mac_address(address: Address) -> str:
    """The hardware address that goes with an address, so that one that moves needs no new neighbour entry."""
    return b"\x02\x42".hex(":") + ":" + address.packed[-4:].hex(":")


def outside(address: Address) -> str:
    """Docker's word for an address that is in none of a network's subnets."""
    return f"invalid endpoint settings:\nno configured subnet or ip-range contain the IP address {address}"
