"""Options of the bridge driver (`docker network create -o`): checked when a network is made, read where they count.

Names and refusals are Docker's. A key that is none of the driver's is kept and means nothing, as with Docker.
"""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final

from protos.errdefs import Internal, InvalidArgument
from services.dockerd.flags import boolean

PREFIX: Final = "com.docker.network."
BRIDGE: Final = f"{PREFIX}bridge."
LINK: Final = f"{BRIDGE}name"
DEFAULT_BRIDGE: Final = f"{BRIDGE}default_bridge"
ICC: Final = f"{BRIDGE}enable_icc"
MASQUERADE: Final = f"{BRIDGE}enable_ip_masquerade"
INHIBIT_IPV4: Final = f"{BRIDGE}inhibit_ipv4"
BIND_IP: Final = f"{BRIDGE}host_binding_ipv4"
TRUSTED: Final = f"{BRIDGE}trusted_host_interfaces"
MODE: Final = {4: f"{BRIDGE}gateway_mode_ipv4", 6: f"{BRIDGE}gateway_mode_ipv6"}
SOURCE: Final = {4: f"{PREFIX}host_ipv4", 6: f"{PREFIX}host_ipv6"}
ENABLE: Final = {4: f"{PREFIX}enable_ipv4", 6: f"{PREFIX}enable_ipv6"}
IFACE_PREFIX: Final = f"{PREFIX}container_iface_prefix"
MTU: Final = f"{PREFIX}driver.mtu"

NAT: Final = "nat"
UNPROTECTED: Final = "nat-unprotected"
"""As nat, but every port of a container is reached by who routes to its address."""
ROUTED: Final = "routed"
"""Containers are reached by their own addresses alone: published ports without translation."""
ISOLATED: Final = "isolated"
"""Of internal networks: the bridge, and so the host, has no address on it."""
MODES: Final = (NAT, UNPROTECTED, ROUTED, ISOLATED)
NAME_SIZE: Final = 15
"""Longest name of a network interface."""


def _number(text: str) -> int:
    if not text.lstrip("+-").isdecimal() or not text.isascii():
        raise ValueError(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def _mode(text: str) -> str:
    if text not in MODES:
        raise ValueError(f"unknown gateway mode {text}")
    return text


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("nil ip") from None


def interface(text: str) -> str:
    """A name that Linux takes for a network interface."""
    if not 0 < len(text) <= NAME_SIZE or text in (".", "..") or any(each.isspace() or each in "/:" for each in text):
        raise ValueError(f"an interface's name has 1 to {NAME_SIZE} characters, without space, slash or colon")
    return text


def _link(text: str) -> str:
    return interface(text) if text else ""


def _prefix(text: str) -> str:
    return interface(text + "0")[:-1]


READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    LINK: _link,
    MTU: _number,
    **dict.fromkeys((DEFAULT_BRIDGE, ICC, MASQUERADE, INHIBIT_IPV4), boolean),
    **dict.fromkeys(MODE.values(), _mode),
    **dict.fromkeys((BIND_IP, *SOURCE.values()), _address),
    IFACE_PREFIX: _prefix,
}


def check(options: Mapping[str, str], *, internal: bool) -> None:
    """Refuse what the driver cannot read, or cannot be."""
    for version in ENABLE:
        enabled(options, version)  # has words of its own
    for key, value in options.items():
        if key in READERS:
            _read(key, value)
    if (mtu := int(options.get(MTU) or 0)) < 0:
        raise InvalidArgument(f"invalid MTU number: {mtu}")
    for version, key in SOURCE.items():
        if key in options and ip_address(options[key]).version != version:
            raise InvalidArgument(f"failed to parse {key} value: {options[key]} (not an IPv{version} address)")
    if not internal and ISOLATED in (options.get(key) for key in MODE.values()):
        raise Internal("gateway mode 'isolated' can only be used for an internal network")


def enabled(options: Mapping[str, str], version: int) -> bool | None:
    """What the options say of a family that the request says nothing of."""
    try:
        return boolean(options[ENABLE[version]]) if ENABLE[version] in options else None
    except ValueError:
        raise InvalidArgument(f'driver-opt "{ENABLE[version]}" is not a valid bool') from None


def flag(options: Mapping[str, str], key: str, default: bool) -> bool:
    """One that is true or false; what is not readable, of a network made when nobody checked, counts for nothing."""
    try:
        return boolean(options[key])
    except (KeyError, ValueError):
        return default


def mode(options: Mapping[str, str], version: int) -> str:
    found = options.get(MODE[version], NAT)
    return found if found in MODES else NAT


def without_gateway(options: Mapping[str, str], version: int, *, internal: bool) -> bool:
    """Whether a network has no gateway, whose address containers could have."""
    inhibited = version == 4 and internal and flag(options, INHIBIT_IPV4, False)
    return mode(options, version) == ISOLATED or inhibited


def trusted(options: Mapping[str, str]) -> tuple[str, ...]:
    """Interfaces of the host by which containers' published ports are reached directly."""
    return tuple(each for each in options.get(TRUSTED, "").split(":") if each)


def _read(key: str, value: str) -> Any:
    try:
        return READERS[key](value)
    except ValueError as error:
        raise InvalidArgument(f"failed to parse {key} value: {value} ({error})") from None
