"""Start and end of all networks: what is there is compared with what should be; the rest is mended, made or removed."""

import asyncio
import logging
from collections.abc import Collection, Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from protos.binding import Binding
from protos.errdefs import EngineError
from services.dockerd.network import netns
from services.dockerd.network.drivers import bridge
from services.dockerd.network.endpoint import Endpoint
from services.dockerd.network.firewall import rules
from services.dockerd.network.firewall.iptables import is_bridge_rule
from services.dockerd.network.networks import Network
from services.dockerd.network.portmap import PortInUse
from services.dockerd.network.proxies import Found
from services.dockerd.network.request import Request
from services.dockerd.network.sandbox import Sandbox

if TYPE_CHECKING:
    from services.dockerd.network.controller import Controller

log = logging.getLogger("network")


async def start(controller: "Controller", live: Collection[Request]) -> None:
    controller.networks.load()
    await controller.in_thread(lambda: _prepare(controller))
    records = {sandbox.container_id: sandbox for sandbox in controller.records.load()}
    found = controller.publisher.proxies.find()
    for request in live:
        if sandbox := records.pop(request.container_id, None):
            await _adopt(controller, request, sandbox, found)
        else:
            log.warning("no record of a running container's network container=%s", request.container_id[:12])
    await _mend_rules(controller)
    for sandbox in records.values():
        _discard(controller, sandbox)
    await _end_strays(controller, found)
    leaving = {sandbox.netns_path for sandbox in records.values()}
    await controller.in_thread(lambda: _sweep_namespaces(controller, leaving))
    if controller.config.userland_proxy:
        controller.spawn(_warm_up(controller))


async def stop(controller: "Controller", *, keep: bool, running: Collection[str]) -> None:
    if not keep:
        await asyncio.gather(*(controller.release(each) for each in list(controller.sandboxes) if each not in running))
    await controller.settle()
    await controller.publisher.proxies.close()
    if not keep and controller.sandboxes:
        log.warning("networks stay as they are, for containers run on count=%d", len(controller.sandboxes))
    if keep or controller.sandboxes:
        return
    restored = [version for version, forwarding in controller.forwarding.items() if forwarding.restore()]
    await controller.firewall.clear(
        {} if controller.config.ip_forward_no_drop else dict.fromkeys(restored, "ACCEPT"))
    await controller.in_thread(lambda: _remove_bridges(controller))
    for name in ("netns", "network", "proxy"):
        try:
            (controller.config.exec_root / name).rmdir()
        except OSError:
            pass  # not there, or not ours alone


async def _warm_up(controller: "Controller") -> None:
    await controller.publisher.proxies.warm_up()


def bridges(controller: "Controller") -> list[Network]:
    """Networks that have a bridge."""
    return [each for each in controller.networks if each.driver == "bridge" and each.addressings]


# start


def _prepare(controller: "Controller") -> None:
    """In a thread: the default network's plan, and all bridges."""
    config = controller.config
    default = controller.networks.get("bridge")
    default.v4 = default.v6 = None
    if config.bridge != "none":
        bridge.plan_default(default, config)
    for network in bridges(controller):
        network.open_pools()
        given = network.given or (network.predefined and bool(config.bridge))
        try:
            if not network.predefined:
                filter_bridges(controller, network)
            bridge.ensure(network, route_localnet=not config.userland_proxy, given=given)
        except (EngineError, OSError) as error:
            if network.predefined:
                raise
            log.error("network cannot be used network=%s error=%s", network.name, error)
    if default.addressings and not (config.icc and config.userland_proxy):
        bridge.filter_bridges([each.version for each in default.addressings])


def filter_bridges(controller: "Controller", network: Network) -> None:
    """Rules that keep a network's containers apart, or stand in for a proxy, see nothing of a bridge otherwise."""
    config = controller.config
    filtered = {4: config.iptables, 6: config.ip6tables}
    if not (network.icc and config.userland_proxy):
        bridge.filter_bridges([each.version for each in network.addressings if filtered[each.version]])


async def _adopt(controller: "Controller", request: Request, sandbox: Sandbox, found: list[Found]) -> None:
    """Take over what a running container has; what has gone of it is made again."""
    short = request.container_id[:12]
    if sandbox.mode != "host" and not netns.is_pinned(Path(sandbox.netns_path)):
        log.error("network namespace of a running container is gone container=%s", short)
        return
    sandbox.name = request.name
    controller.sandboxes[request.container_id] = sandbox
    controller.requests[request.container_id] = request
    for endpoint in list(sandbox.endpoints):
        try:
            await _adopt_endpoint(controller, sandbox, endpoint, found)
        except (EngineError, OSError, PortInUse) as error:
            log.error("network not restored container=%s endpoint=%s error=%s", short, endpoint.id[:12], error)
    controller.records.save(sandbox)


async def _adopt_endpoint(controller: "Controller", sandbox: Sandbox, endpoint: Endpoint, found: list[Found]) -> None:
    network = controller.network_of(endpoint)
    if network is None or not endpoint.places:
        return
    _take_addresses(sandbox, endpoint, network)
    if not await controller.in_thread(lambda: bridge.is_plugged(network, endpoint)):
        log.warning("link of a running container made again container=%s", sandbox.container_id[:12])
        routes = controller.routes(sandbox, endpoint)
        await controller.in_thread(lambda: controller.plug(sandbox, endpoint, routes))
    living = _claim(controller, sandbox, endpoint, found)
    bare = [each for each in endpoint.bindings if not each.host_port]
    if living and {*living, *bare} != set(endpoint.bindings):
        endpoint.bindings = living + bare
    controller.publisher.portmap.adopt(endpoint.bindings, sandbox.name)
    net = controller.rules_of(network)
    controller.firewall.want([*rules.ports(net, endpoint.bindings), *rules.links(net, endpoint.links)])
    await controller.publisher.forward_again(sandbox, endpoint, net, living)


def _take_addresses(sandbox: Sandbox, endpoint: Endpoint, network: Network) -> None:
    for address, _, _ in endpoint.places:
        addressing = network.of(address.version)
        if addressing is None or addressing.pool is None or address not in addressing.subnet:
            log.warning(
                "a running container has an address that its network has no more: restart it container=%s network=%s "
                "address=%s", sandbox.container_id[:12], network.name, address)
        elif address not in addressing.pool:
            addressing.pool.reserve(address)


def _claim(controller: "Controller", sandbox: Sandbox, endpoint: Endpoint, found: list[Found]) -> list[Binding]:
    """Living proxies that are this endpoint's, taken out of `found`; what they publish."""
    living: list[Binding] = []
    for each in list(found):
        ours = each.container_id == sandbox.container_id
        foreign = not each.container_id and set(each.bindings) <= set(endpoint.bindings)
        if (ours or foreign) and controller.publisher.proxies.adopt(sandbox.container_id, each):
            found.remove(each)
            living += each.bindings
    return living


async def _mend_rules(controller: "Controller") -> None:
    """Rules of everything that is wanted now, compared with those in the kernel."""
    nets = [controller.rules_of(network) for network in bridges(controller)]
    base = [rule for version in (4, *_versions(nets)) for rule in rules.base(controller.config.userland_proxy, version)]
    controller.firewall.want(base, front=True)
    for net in nets:
        controller.firewall.want(rules.bridge(net))
    names = [bridge.DEFAULT_LINK, *(net.name for net in nets)]
    subnets = [str(subnet) for net in nets for subnet in net.subnets]
    await controller.firewall.reconcile(lambda rule: is_bridge_rule(rule, names, subnets), forward(controller, nets))


async def open_network(controller: "Controller", network: Network) -> None:
    """What all networks share, where this is the first one of its families."""
    net = controller.rules_of(network)
    base = [rule for version in _versions([net]) for rule in rules.base(controller.config.userland_proxy, version)]
    await controller.firewall.open(base, forward(controller, [net]))


def forward(controller: "Controller", nets: Iterable[rules.Bridge]) -> dict[int, str]:
    """Have the host forward the families of these networks; what the policies of FORWARD are to be for that."""
    config = controller.config
    switched = [each for each in _versions(nets) if config.ip_forward and controller.forwarding[each].enable()]
    return {} if config.ip_forward_no_drop else dict.fromkeys(switched, "DROP")


def _versions(nets: Iterable[rules.Bridge]) -> list[int]:
    return sorted({subnet.version for net in nets for subnet in net.subnets})


def _discard(controller: "Controller", sandbox: Sandbox) -> None:
    """What a container left that does not run. Its addresses stay taken until its links are gone."""
    log.info("network of a container that does not run removed container=%s", sandbox.container_id[:12])
    if sandbox.mode == "container":
        sandbox.netns_path = ""  # its owner's
    for endpoint in sandbox.endpoints:
        network = controller.network_of(endpoint)
        for address, _, _ in endpoint.places:
            addressing = network.of(address.version) if network else None
            if addressing and addressing.pool and address in addressing.subnet:
                if address in addressing.pool:
                    endpoint.displace(address)  # another container's by now
                else:
                    addressing.pool.reserve(address)
    controller.leave(sandbox)


async def _end_strays(controller: "Controller", found: Iterable[Found]) -> None:
    """Proxies nobody has claimed. A foreign one is ours only if it leads into one of our networks."""
    subnets = [each.subnet for network in bridges(controller) for each in network.addressings]
    for each in found:
        addresses = {ip_address(binding.container_ip) for binding in each.bindings}
        inside = all(any(address in subnet for subnet in subnets) for address in addresses)
        if each.container_id or inside:
            log.info("docker-proxy without a container ended pid=%d", each.pid)
            await controller.publisher.proxies.end(each)


def _sweep_namespaces(controller: "Controller", leaving: set[str]) -> None:
    """Pins that no sandbox knows."""
    known = {sandbox.netns_path for sandbox in controller.sandboxes.values()} | leaving
    directory = controller.config.exec_root / "netns"
    for path in directory.iterdir() if directory.exists() else ():
        if str(path) not in known:
            netns.remove(path)


# end


def _remove_bridges(controller: "Controller") -> None:
    """But for one that was there before us (`--bridge`)."""
    for network in bridges(controller):
        if not (network.predefined and controller.config.bridge):
            bridge.remove(network)
