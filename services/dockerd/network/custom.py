"""The user's own networks: made and removed, and running containers joined to them and taken off."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from ipaddress import ip_network

from protos.errdefs import InvalidArgument, NotFound, PermissionDenied
from services.dockerd.filters import Filters
from services.dockerd.network import files, life, links, neighbours, netlink, plan, reserve
from services.dockerd.network.controller import Controller
from services.dockerd.network.drivers import bridge
from services.dockerd.network.endpoint import Endpoint
from services.dockerd.network.firewall import rules
from services.dockerd.network.ipam import Subnet
from services.dockerd.network.networks import Network
from services.dockerd.network.sandbox import Sandbox
from services.dockerd.schema.container import EndpointSettings
from services.dockerd.schema.network import NetworkCreate


async def create(controller: Controller, asked: NetworkCreate) -> Network:
    """A new bridge network, ready for containers."""
    network = plan.plan(controller.config, asked, list(controller.networks), _routes(), bridge.host_identity())
    network.open_pools()
    network.given = await controller.in_thread(lambda: bridge.exists(network.link))
    controller.networks.add(network)
    try:
        await life.open_network(controller, network)
        life.filter_bridges(controller, network)
        await controller.in_thread(lambda: bridge.ensure(
            network, route_localnet=not controller.config.userland_proxy, given=network.given))
        await controller.firewall.add(rules.bridge(controller.rules_of(network)))
    except BaseException:
        with controller.networks.removing(network):
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
    with controller.networks.removing(network):
        await controller.firewall.remove(rules.bridge(controller.rules_of(network)))
        await controller.in_thread(lambda: bridge.remove(network))
    _tell(controller, "destroy", network)


async def attach(controller: Controller, container_id: str, network: Network, asked: EndpointSettings) -> None:
    """Join a running container to one more network."""
    sandbox, request = controller.sandboxes[container_id], controller.requests[container_id]
    check_attachable(sandbox.mode, network)
    if any(end.network_id == network.id for end in sandbox.endpoints):
        raise PermissionDenied(f"endpoint with name {sandbox.name} already exists in network {network.name}")
    endpoint = reserve.endpoint(request, (network, asked), [end.interface for end in sandbox.endpoints])
    there = {place.address.version for end in sandbox.endpoints for place in end.places if place.gateway}
    try:
        await controller.in_thread(lambda: controller.plug(sandbox, endpoint, {4, 6} - there))
    except BaseException:
        controller.forget(endpoint)
        raise
    sandbox.endpoints.append(endpoint)
    controller.records.save(sandbox)
    files.add_records(sandbox.hosts_path, files.own_records(request, endpoint))
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
    files.remove_records(sandbox.hosts_path, endpoint.addresses)
    neighbours.part(sandbox, endpoint, controller.sandboxes.values(), both=True)
    controller.tell("disconnect", sandbox, endpoint)


def rename(controller: Controller, container_id: str, name: str) -> None:
    """A container has another name: so do its networks know it, if it runs."""
    sandbox, request = controller.sandboxes.get(container_id), controller.requests.get(container_id)
    if sandbox is None or request is None:
        return
    old, sandbox.name = sandbox.name, name
    request = controller.requests[container_id] = replace(request, name=name)
    for endpoint in sandbox.endpoints:
        neighbours.rename(sandbox, endpoint, request, old, controller.sandboxes.values())
    links.rename(controller, sandbox, old)
    controller.records.save(sandbox)


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


def _routes() -> list[Subnet]:
    """Where the host goes already."""
    with netlink.Socket() as kernel:
        return [ip_network((address, prefix), strict=False) for address, prefix in kernel.routes()]


def _tell(controller: Controller, action: str, network: Network) -> None:
    controller.notify(action, network.id, {"name": network.name, "type": network.driver})
