"""The user's own networks: made and removed, and running containers joined to them and taken off."""

from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv4Network

from protos.errdefs import InvalidArgument, NotFound, PermissionDenied, Unimplemented
from services.dockerd.filters import Filters
from services.dockerd.network import ipam, neighbours, netlink
from services.dockerd.network.controller import Controller
from services.dockerd.network.drivers import bridge
from services.dockerd.network.endpoint import Endpoint
from services.dockerd.network.firewall import rules
from services.dockerd.network.networks import PREDEFINED, Network
from services.dockerd.network.sandbox import Sandbox
from services.dockerd.schema.container import EndpointSettings
from services.dockerd.schema.network import IPAMConfig, NetworkCreate


async def create(controller: Controller, asked: NetworkCreate) -> Network:
    """A new bridge network, ready for containers."""
    network = _plan(controller, asked)
    network.open_pool()
    controller.networks.add(network)
    try:
        await controller.in_thread(lambda: bridge.ensure(network, route_localnet=not controller.config.userland_proxy))
        await controller.firewall.add(rules.bridge(controller.rules_of(network)))
    except BaseException:
        controller.networks.remove(network)
        await controller.in_thread(lambda: bridge.remove(network))
        raise
    _tell(controller, "create", network)
    return network


async def remove(controller: Controller, reference: str) -> None:
    network = controller.networks.get(reference)
    if network.predefined:
        raise PermissionDenied(f"{network.name} is a pre-defined network and cannot be removed")
    if users := sorted(sandbox.name for sandbox, _ in members(controller, network)):
        who = f"network {network.name} id {network.id} has active endpoints"
        raise PermissionDenied(f"error while removing network: {who}: {', '.join(users)}")
    controller.networks.remove(network)
    await controller.firewall.remove(rules.bridge(controller.rules_of(network)))
    await controller.in_thread(lambda: bridge.remove(network))
    _tell(controller, "destroy", network)


async def attach(controller: Controller, container_id: str, network: Network, asked: EndpointSettings) -> None:
    """Join a running container to one more network."""
    sandbox, request = controller.sandboxes[container_id], controller.requests[container_id]
    check_attachable(sandbox.mode, network)
    if any(end.network_id == network.id for end in sandbox.endpoints):
        raise PermissionDenied(f"endpoint with name {sandbox.name} already exists in network {network.name}")
    taken = {end.interface for end in sandbox.endpoints}
    number = next(each for each in range(len(taken) + 1) if f"eth{each}" not in taken)
    endpoint = controller.new_endpoint(request, (network, asked), number)
    first = not any(end.gateway for end in sandbox.endpoints)
    try:
        await controller.in_thread(lambda: controller.plug(sandbox, endpoint, default_route=first))
    except BaseException:
        controller.forget(endpoint)
        raise
    sandbox.endpoints.append(endpoint)
    controller.records.save(sandbox)
    neighbours.meet(sandbox, endpoint, controller.sandboxes.values())
    controller.tell("connect", sandbox, endpoint)


async def detach(controller: Controller, container_id: str, network: Network) -> None:
    """Take a running container off a network; what it published by it goes too."""
    sandbox = controller.sandboxes[container_id]
    endpoint = next((end for end in sandbox.endpoints if end.network_id == network.id), None)
    if endpoint is None:
        raise PermissionDenied(f"container {container_id} is not connected to network {network.name}")
    if endpoint.bindings:
        await controller.publisher.unpublish(sandbox, [(endpoint, controller.rules_of(network))])
        await controller.publisher.ended(container_id)
    sandbox.endpoints.remove(endpoint)
    if endpoint.link:
        await controller.in_thread(lambda: bridge.unplug(endpoint.link))
    controller.forget(endpoint)
    controller.records.save(sandbox)
    neighbours.part(sandbox, endpoint, controller.sandboxes.values(), both=True)
    controller.tell("disconnect", sandbox, endpoint)


async def prune(controller: Controller, wanted: Filters, users: Collection[str], before: int) -> list[str]:
    """Remove the user's networks that are older than `before` (ns) and that no container refers to; their names."""
    removed: list[str] = []
    for network in controller.networks:
        if network.predefined or network.name in users or network.id in users or not _prunable(network, wanted, before):
            continue
        try:
            await remove(controller, network.id)
        except (PermissionDenied, NotFound):
            continue  # somebody was quicker
        removed.append(network.name)
    return removed


def _prunable(network: Network, wanted: Filters, before: int) -> bool:
    unwanted = wanted.get("label!")
    if unwanted and any(Filters({"label": [each]}).labels("label", network.labels) for each in unwanted):
        return False
    return wanted.labels("label", network.labels) and network.created < before


def check_attachable(mode: str, network: Network) -> None:
    """Docker's refusals of networks that exclude one another."""
    if network.name == "host" or mode == "host":
        raise InvalidArgument("container cannot be disconnected from host network or connected to host network")
    if network.name == "none" or mode == "none":
        one = "one of the networks in private (none) mode"
        raise InvalidArgument(f"container cannot be connected to multiple networks with {one}")
    if mode == "container":
        sharing = "container sharing network namespace with another container or host"
        raise InvalidArgument(f"{sharing} cannot be connected to any other network")


def members(controller: Controller, network: Network) -> Iterator[tuple[Sandbox, Endpoint]]:
    for sandbox in controller.sandboxes.values():
        for endpoint in sandbox.endpoints:
            if endpoint.network_id == network.id:
                yield sandbox, endpoint


# the plan of a network


def _plan(controller: Controller, asked: NetworkCreate) -> Network:
    _check(asked)
    config = _config(asked)
    others = [each.subnet for each in controller.networks if each.subnet]
    if config.Subnet:
        subnet = _subnet(config.Subnet)
        ipam.check_overlap(subnet, others)
    else:
        pools = controller.config.default_address_pools or ipam.DEFAULT_POOLS
        subnet = ipam.choose(pools, [*others, *_routes()])
    ip_range = _subnet(config.IPRange) if config.IPRange else None
    if ip_range and not ip_range.subnet_of(subnet):
        raise InvalidArgument(f"invalid ip-range {ip_range}: it is not within subnet {subnet}")
    gateway = _address(config.Gateway) if config.Gateway else (ip_range or subnet)[1]
    if gateway not in subnet:
        raise InvalidArgument(f"invalid gateway {gateway}: it is not within subnet {subnet}")
    for address in (config.AuxiliaryAddresses or {}).values():
        _address(address)
    return Network(
        asked.Name,
        "bridge",
        subnet=subnet,
        ip_range=ip_range,
        gateway=gateway,
        auxiliary=config.AuxiliaryAddresses or {},
        ipam_driver=(asked.IPAM and asked.IPAM.Driver) or "default",
        ipam_options=asked.IPAM.Options if asked.IPAM else None,
        options=asked.Options or {},
        labels=asked.Labels or {},
        internal=asked.Internal,
        attachable=asked.Attachable,
    )


def _check(asked: NetworkCreate) -> None:
    if not asked.Name.strip():
        raise InvalidArgument("network name cannot be empty")
    if asked.Name in (*PREDEFINED, "default"):
        raise PermissionDenied(f"operation is not permitted on predefined {asked.Name} network")
    driver = asked.Driver or "bridge"
    if driver in ("host", "null"):
        raise PermissionDenied(f'only one instance of "{driver}" network is allowed')
    if driver in ("overlay", "macvlan", "ipvlan"):
        raise Unimplemented(f"networks of driver {driver} are not implemented yet: bridge is")
    if driver not in ("bridge", "default"):
        raise NotFound(f"could not find plugin {driver} in v1 plugin registry: plugin not found")
    if asked.EnableIPv6 or asked.EnableIPv4 is False:
        raise Unimplemented("IPv6 inside networks is not implemented yet: create the network without it")
    if asked.ConfigOnly or (asked.ConfigFrom and asked.ConfigFrom.Network) or asked.Ingress:
        raise Unimplemented("networks of configuration only, or made from one, and ingress are not implemented yet")
    mtu = (asked.Options or {}).get("com.docker.network.driver.mtu", "0")
    if not mtu.isdigit():
        raise InvalidArgument(f"invalid value for com.docker.network.driver.mtu: {mtu!r}")


def _config(asked: NetworkCreate) -> IPAMConfig:
    configs = (asked.IPAM and asked.IPAM.Config) or []
    if asked.IPAM and asked.IPAM.Driver not in (None, "", "default"):
        raise NotFound(f"could not find plugin {asked.IPAM.Driver} in v1 plugin registry: plugin not found")
    if len(configs) > 1 or any(":" in (each.Subnet or "") for each in configs):
        raise Unimplemented("networks of several subnets, or of IPv6, are not implemented yet")
    config = configs[0] if configs else IPAMConfig()
    if not config.Subnet and (config.IPRange or config.Gateway or config.AuxiliaryAddresses):
        raise InvalidArgument("invalid network config: a gateway, range or address needs a subnet to be in")
    return config


def _subnet(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid network config: invalid subnet {text}: {error}") from None


def _address(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        raise InvalidArgument(f"invalid network config: invalid address {text}") from None


def _routes() -> Iterator[IPv4Network]:
    """Where the host goes already."""
    with netlink.Socket() as kernel:
        for address, prefix in kernel.routes():
            if isinstance(address, IPv4Address):
                yield IPv4Network((int(address), prefix))


def _tell(controller: Controller, action: str, network: Network) -> None:
    controller.notify(action, network.id, {"name": network.name, "type": network.driver})
