"""Address pools: which subnet a network gets, and which address an endpoint. Pure; the caller says what is taken."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from protos.errdefs import Conflict, Internal, InvalidArgument, PermissionDenied

DEFAULT_BRIDGE: Final = IPv4Network("172.17.0.0/16")
DEFAULT_POOLS: Final[tuple[tuple[str, int], ...]] = (
    *((f"172.{number}.0.0/16", 16) for number in range(17, 32)),
    ("192.168.0.0/16", 20),
)
OVERLAP: Final = "Pool overlaps with other one on this address space"


class Pool:
    """The addresses of one subnet. The lowest free one is given first, as Docker does."""

    def __init__(self, subnet: IPv4Network, ip_range: IPv4Network | None = None, owner: str = "") -> None:
        if ip_range and not ip_range.subnet_of(subnet):
            raise InvalidArgument(f"invalid subnet {ip_range}: it is not within {subnet}")
        self.subnet = subnet
        self.ip_range = ip_range
        self._owner = owner
        self._used: set[int] = {int(subnet.network_address), int(subnet.broadcast_address)}
        span = ip_range or subnet
        self._first, self._last = int(span.network_address), int(span.broadcast_address)
        self._hint = self._first
        """Below it, everything is taken."""

    def __contains__(self, address: IPv4Address) -> bool:
        return int(address) in self._used

    def __len__(self) -> int:
        """Addresses taken, those of the network itself and of broadcast among them."""
        return len(self._used)

    def allocate(self) -> IPv4Address:
        for number in range(self._hint, self._last + 1):
            if number not in self._used:
                self._used.add(number)
                self._hint = number + 1
                return IPv4Address(number)
        raise Internal(f"no available IPv4 addresses on this network's address pools: {self._owner or self.subnet}")

    def reserve(self, address: IPv4Address) -> None:
        """Take one address; Conflict where it is taken."""
        if address not in self.subnet:
            raise InvalidArgument(f"invalid address {address}: it does not belong to subnet {self.subnet}")
        if int(address) in self._used:
            raise Conflict("Address already in use")
        self._used.add(int(address))

    def free(self, address: IPv4Address) -> None:
        number = int(address)
        self._used.discard(number)
        if self._first <= number < self._hint:
            self._hint = number


def candidates(pools: Iterable[tuple[str, int]]) -> Iterator[IPv4Network]:
    """Subnets in the order they are given out."""
    for base, size in pools:
        yield from IPv4Network(base).subnets(new_prefix=size)


def choose(pools: Iterable[tuple[str, int]], taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first subnet that touches nothing in use: other networks, and routes of the host."""
    used = [each for each in taken if each.prefixlen]
    tried = 0
    for subnet in candidates(pools):
        tried += 1
        if not any(subnet.overlaps(each) for each in used):
            return subnet
    raise Internal(
        "all predefined address pools have been fully subnetted: could not find an available, non-overlapping IPv4 "
        f"address pool among {tried} tried; give the network one (--subnet), or dockerd more (--default-address-pool)"
    )


def check_overlap(subnet: IPv4Network, networks: Iterable[IPv4Network]) -> None:
    if any(subnet.overlaps(each) for each in networks):
        raise PermissionDenied(f"invalid pool request: {OVERLAP}")


def mac_address(address: IPv4Address) -> str:
    """The hardware address that goes with an IPv4 address, so that an address that moves needs no new ARP entry."""
    return b"\x02\x42".hex(":") + ":" + address.packed.hex(":")
