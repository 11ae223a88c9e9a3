"""The addresses of the default bridge, by the flags and by what the bridge has already (pure); texts are Docker's."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_interface, ip_network
from typing import Final, NamedTuple

from protos.errdefs import InvalidArgument
from services.dockerd.network.addressing import Addressing
from services.dockerd.network.config import NetworkConfig
from services.dockerd.network.ipam import Address, Subnet, choose, pools, within

Interface = tuple[Address, int]
"""An address with its prefix length."""
FIXED: Final = {4: "--fixed-cidr", 6: "--fixed-cidr-v6"}
BIP: Final = {4: "--bip", 6: "--bip6"}


class Asked(NamedTuple):
    """What the flags say of one family; "" where they say nothing."""

    bip: str
    fixed_cidr: str
    gateway: str


def asked(config: NetworkConfig, version: int) -> Asked:
    if version == 4:
        return Asked(config.bip, config.fixed_cidr, config.default_gateway)
    return Asked(config.bip6, config.fixed_cidr_v6, config.default_gateway_v6)


def plan(
    config: NetworkConfig, there: Sequence[Interface], taken: Sequence[Subnet], host: str, version: int
) -> Addressing:
    """`there` are the bridge's present addresses, `taken` the host's routes, `host` is what identifies it."""
    flags = asked(config, version)
    ip_range = _cidr(flags.fixed_cidr, FIXED[version], version)
    found = _gateway(flags, there, ip_range, version, given=bool(config.bridge))
    gateway, subnet = found or _fresh(config, ip_range, taken, host, version)
    if ip_range and not within(ip_range, subnet):
        what = f"{FIXED[version]} {ip_range} is not within {subnet}"
        raise InvalidArgument(f"container subnet must be a subset of bridge network: {what}")
    addressing = Addressing(subnet, gateway, ip_range if ip_range != subnet else None)
    if flags.gateway:
        addressing.other_exit = _exit(flags.gateway, subnet)
    return addressing


def _gateway(
    flags: Asked, there: Sequence[Interface], ip_range: Subnet | None, version: int, *, given: bool
) -> tuple[Address, Subnet] | None:
    """By --bip, or an address that the bridge has: one that --fixed-cidr agrees with comes first. On docker0 no
    other will do; a bridge that is `given` keeps what it has."""
    if flags.bip:
        return _interface(flags.bip, BIP[version], version)
    mine = [
        (address, ip_network((address, prefix), strict=False)) for address, prefix in there
        if address.version == version and not address.is_link_local
    ]
    agreed = [each for each in mine if ip_range and within(ip_range, each[1])]
    return next(iter([*agreed, *(mine if given or not ip_range else ())]), None)


def _fresh(
    config: NetworkConfig, ip_range: Subnet | None, taken: Sequence[Subnet], host: str, version: int
) -> tuple[Address, Subnet]:
    """A bridge without an address gets the first one of --fixed-cidr, or of a pool."""
    subnet = ip_range or choose(pools(config.default_address_pools, host, version), taken, version)
    return subnet[1], subnet


def _exit(text: str, subnet: Subnet) -> Address:
    address = ip_address(text)
    if address not in subnet:
        what = f"auxiliary address: (DefaultGatewayIPv{subnet.version}:{address})"
        raise InvalidArgument(f"{what} must belong to the master pool: {subnet}")
    return address


def _interface(text: str, flag: str, version: int) -> tuple[Address, Subnet]:
    try:
        found = ip_interface(text)
    except ValueError:
        raise InvalidArgument(f"parse {flag} failed: invalid CIDR address: {text}") from None
    if "/" not in text or found.version != version:
        raise InvalidArgument(f"parse {flag} failed: invalid CIDR address: {text}")
    return found.ip, found.network


def _cidr(text: str, flag: str, version: int) -> Subnet | None:
    return _interface(text, flag, version)[1] if text else None



def check(config: NetworkConfig) -> None:
    """What can be said before anything of the host is known."""
    for version in (4, 6):
        flags = asked(config, version)
        _cidr(flags.fixed_cidr, FIXED[version], version)
        if flags.bip:
            plan(config, (), (), "", version)
