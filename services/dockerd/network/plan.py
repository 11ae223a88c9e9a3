"""What a network to be made is to look like: checked, and completed by subnets that are free (pure).

The texts are those of Docker's own checks.
"""

from collections.abc import Collection, Iterator
from ipaddress import ip_address, ip_interface

from protos.errdefs import InvalidArgument, NotFound, PermissionDenied, Unavailable, Unimplemented
from services.dockerd.network import ipam
from services.dockerd.network.addressing import Addressing
from services.dockerd.network.config import NetworkConfig
from services.dockerd.network.drivers import options
from services.dockerd.network.ipam import Address, Subnet
from services.dockerd.network.networks import PREDEFINED, Network
from services.dockerd.schema.network import IPAMConfig, NetworkCreate


def plan(config: NetworkConfig, asked: NetworkCreate, others: Collection[Network], routes: Collection[Subnet],
         host: str = "") -> Network:
    """`routes` are where the host goes already, `host` is what tells it from others."""
    asked.Options = {**config.default_network_opts.get("bridge", {}), **(asked.Options or {})}
    if asked.EnableIPv4 is None:
        asked.EnableIPv4 = options.enabled(asked.Options, 4)
    if asked.EnableIPv6 is None:
        asked.EnableIPv6 = options.enabled(asked.Options, 6)
    _check(asked, others)
    network = Network(
        asked.Name,
        "bridge",
        ipam_driver=(asked.IPAM and asked.IPAM.Driver) or "default",
        ipam_options=asked.IPAM.Options if asked.IPAM else None,
        options=asked.Options,
        labels=asked.Labels or {},
        internal=asked.Internal,
        attachable=asked.Attachable,
    )
    taken = [each.subnet for other in others for each in other.addressings]
    given = _configs(asked)
    for version in _versions(asked):
        addressing = _addressing(given.get(version), config, taken, routes, host, version)
        stated = bool((chosen := given.get(version)) and chosen.Gateway)
        if not stated and options.without_gateway(asked.Options, version, internal=asked.Internal):
            addressing.gateway = None
        if version == 4:
            network.v4 = addressing
        else:
            network.v6 = addressing
    return network


def _versions(asked: NetworkCreate) -> Iterator[int]:
    if asked.EnableIPv4 is not False:
        yield 4
    if asked.EnableIPv6:
        yield 6


def _addressing(
    given: IPAMConfig | None, config: NetworkConfig, taken: Collection[Subnet], routes: Collection[Subnet], host: str,
    version: int,
) -> Addressing:
    if given is None or not given.Subnet:
        pools = ipam.pools(config.default_address_pools, host, version)
        subnet = ipam.choose(pools, [*taken, *routes], version)
        return Addressing(subnet, subnet[1])
    subnet = _network(given.Subnet, "subnet")
    ipam.check_overlap(subnet, taken)
    ip_range = _range(given.IPRange, subnet) if given.IPRange else None
    gateway = _within("gateway", given.Gateway, subnet, given.Gateway) if given.Gateway else (ip_range or subnet)[1]
    auxiliary = given.AuxiliaryAddresses or {}
    for name, address in auxiliary.items():
        _within("auxiliary address", name, subnet, address)
    made = Addressing(subnet, gateway, ip_range, auxiliary)
    made.choose_exit()
    return made


def _check(asked: NetworkCreate, others: Collection[Network]) -> None:
    if not asked.Name.strip():
        raise InvalidArgument("network name cannot be empty")
    if asked.Name in (*PREDEFINED, "default"):
        raise PermissionDenied(f"operation is not permitted on predefined {asked.Name} network")
    if asked.Scope == "swarm":
        raise PermissionDenied("cannot create a swarm scoped network when swarm is not active")
    if asked.Scope not in (None, "", "local"):
        raise Unavailable(f"there are no networks of scope {asked.Scope!r}: this node is not a swarm manager")
    driver = asked.Driver or "bridge"
    if driver in ("host", "null"):
        raise PermissionDenied(f'only one instance of "{driver}" network is allowed')
    if driver in ("overlay", "macvlan", "ipvlan"):
        raise Unimplemented(f"networks of driver {driver} are not implemented: use the driver bridge")
    if driver not in ("bridge", "default"):
        raise NotFound(f"could not find plugin {driver} in v1 plugin registry: plugin not found")
    if asked.EnableIPv4 is False and not asked.EnableIPv6:
        raise InvalidArgument("IPv4 or IPv6 must be enabled")
    if asked.ConfigOnly or (asked.ConfigFrom and asked.ConfigFrom.Network) or asked.Ingress:
        raise Unimplemented(
            "networks of configuration only, or made from one, and ingress are not implemented: "
            "give the network its options itself"
        )
    given = asked.Options or {}
    options.check(given, internal=asked.Internal)
    for other in others:
        if given.get(options.LINK) == other.link and other.addressings:
            raise PermissionDenied(
                f"cannot create network {asked.Name} ({other.link}): conflicts with network {other.id} ({other.link}): "
                "networks have same bridge name")


def _configs(asked: NetworkCreate) -> dict[int, IPAMConfig]:
    """By family; what is given for one that the network is not to have is passed over, as Docker does."""
    if asked.IPAM and asked.IPAM.Driver not in (None, "", "default"):
        raise NotFound(f"could not find plugin {asked.IPAM.Driver} in v1 plugin registry: plugin not found")
    found: dict[int, IPAMConfig] = {}
    for config in (asked.IPAM and asked.IPAM.Config) or []:
        if not config.Subnet and (config.IPRange or config.Gateway or config.AuxiliaryAddresses):
            raise _invalid("subnet", "", "invalid CIDR block notation: a gateway, range or address needs one to be in")
        version = _network(config.Subnet, "subnet").version if config.Subnet else 4
        if version == 6 and not asked.EnableIPv6:
            continue
        if version in found:
            raise PermissionDenied("bridge driver doesn't support multiple subnets")
        found[version] = config
    return found


def _network(text: str, what: str) -> Subnet:
    try:
        found = ip_interface(text)
    except ValueError:
        raise _invalid(what, text, "invalid CIDR block notation") from None
    if not text.partition("/")[2].isdigit():
        raise _invalid(what, text, "invalid CIDR block notation")
    if found.ip != found.network.network_address:
        raise _invalid(what, text, f"it should be {found.network}")
    return found.network


def _invalid(what: str, text: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"invalid network config:\ninvalid {what} {text}: {why}")


def _range(text: str, subnet: Subnet) -> Subnet:
    found = _network(text, "ip-range")
    problem = ""
    if found.version != subnet.version:
        problem = f"parent subnet is an IPv{subnet.version} block"
    elif found.prefixlen < subnet.prefixlen:
        problem = f"CIDR block is bigger than its parent subnet {subnet}"
    elif not ipam.within(found, subnet):
        problem = f"parent subnet {subnet} doesn't contain ip-range"
    if problem:
        raise _invalid("ip-range", text, problem)
    return found


def _within(what: str, name: str, subnet: Subnet, text: str) -> Address:
    try:
        address = ip_address(text)
    except ValueError:
        raise _invalid(what, name, "invalid address") from None
    if address.version != subnet.version:
        raise _invalid(what, name, f"parent subnet is an IPv{subnet.version} block")
    if address not in subnet:
        raise _invalid(what, name, f"parent subnet {subnet} doesn't contain this address")
    return address
