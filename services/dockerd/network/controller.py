"""Networks of containers: one Controller per dockerd, asked by the engine, answering from memory.

A container's network is a Sandbox (one network namespace, pinned under the exec root) with Endpoints in it. A start
is `allocate` (quick, before Tasks.Create), then `connect` (beside Tasks.Create); an end is `release`. State is rebuilt
from the live kernel and one small file per sandbox; a killed dockerd leaves everything working for the next to adopt.
Start and stop of the whole are in life.py, the user's own networks in custom.py.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Collection, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from protos.errdefs import Conflict, EngineError
from services.dockerd.metrics import meter
from services.dockerd.network import files, life, links, neighbours, netns, reserve, views
from services.dockerd.network.config import NetworkConfig
from services.dockerd.network.drivers import bridge, options
from services.dockerd.network.endpoint import Endpoint
from services.dockerd.network.firewall import rules
from services.dockerd.network.firewall.firewall import Firewall
from services.dockerd.network.forwarding import SWITCHES, Forwarding
from services.dockerd.network.hosts import Record
from services.dockerd.network.networks import Network, Networks
from services.dockerd.network.publisher import Publisher
from services.dockerd.network.request import Request, Target, default_gateway_first, mode_of, targets
from services.dockerd.network.sandbox import Records, Sandbox
from services.dockerd.network.threads import Threads

__all__ = ["Controller", "Notify", "Request"]

log = logging.getLogger("network")

T = TypeVar("T")
Notify = Callable[[str, str, dict[str, str]], None]
"""Told of `connect`, `disconnect`, `create`, `destroy` of a network: action, network id, attributes of the event."""

NO_RAW: Final = os.environ.get("DOCKER_INSECURE_NO_IPTABLES_RAW") == "1"
"""Docker's way out for a kernel without the table raw: direct routing is not refused."""
LINK_GONE: Final = 1.0
"""Seconds a veth pair has to vanish with its namespace before it is deleted by name."""


class Controller:
    """Every method but the views may wait for the kernel; none waits for another container's start."""

    def __init__(self, config: NetworkConfig, notify: Notify = lambda action, network, attributes: None) -> None:
        self.config = config
        self.notify = notify
        self.networks = Networks(config.data_root / "network" / "networks.json")
        self.records = Records(config.exec_root / "network")
        self.sandboxes: dict[str, Sandbox] = {}
        self.requests: dict[str, Request] = {}
        self._threads = Threads()
        self.firewall = Firewall({4: config.iptables, 6: config.ip6tables}, self._threads)
        marks = config.exec_root / "network"
        self.forwarding = {
            4: Forwarding(marks / "forwarding", SWITCHES[4]), 6: Forwarding(marks / "forwarding6", SWITCHES[6])
        }
        self.publisher = Publisher(config, self.firewall, self._threads, self.spawn, self._proxy_died)
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, live: Collection[Request]) -> None:
        """Make the default bridge, forwarding and chains; adopt the sandboxes of `live`, release all others."""
        await life.start(self, live)

    async def stop(self, *, keep: bool = False, running: Collection[str] = ()) -> None:
        """End. Everything of ours goes from the host, unless `keep` (live restore) leaves it for the next dockerd, or
        containers, by their ids, are still `running`."""
        await life.stop(self, keep=keep, running=running)
        self._threads.close()

    # a container's start and end

    @meter.timed("network_actions", "allocate")
    async def allocate(self, request: Request) -> Sandbox:
        """Reserve addresses, make the namespace, write hostname, hosts and resolv.conf. Undone by `release`."""
        await self.release(request.container_id)
        if leaving := self._leaving.get(request.container_id):
            await asyncio.shield(leaving)
        sandbox = self.plan(request)
        if not request.shared_container:
            sandbox.endpoints = reserve.endpoints(request, self.targets(request))
        self.sandboxes[request.container_id] = sandbox
        self.requests[request.container_id] = request
        try:
            self.records.save(sandbox)
            if not request.shared_container:
                named = neighbours.links_of(request, list(self.sandboxes.values()))
                await self.in_thread(lambda: self._make(sandbox, request, named))
        except BaseException:
            await self.release(request.container_id)
            raise
        return sandbox

    def plan(self, request: Request) -> Sandbox:
        """The paths that `allocate` will give; nothing is made. Conflict where a network to share is not there."""
        return self._join(request) if request.shared_container else self._new_sandbox(request)

    @meter.timed("network_actions", "connect")
    async def connect(self, container_id: str) -> None:
        """Links, addresses, routes, rules, proxies. On an error the caller still has to `release`.

        Raises Docker's errors: "... port is already allocated", "... address already in use".
        """
        sandbox, request = self.sandboxes[container_id], self.requests[container_id]
        work: list[Awaitable[object]] = []
        if sandbox.mode == "bridge" and sandbox.endpoints:
            work.append(self.in_thread(lambda: self._plug(sandbox)))
            if (endpoint := self.gateway_endpoint(sandbox)) and (network := self.network_of(endpoint)):
                work.append(self.publisher.publish(sandbox, endpoint, self.rules_of(network), request))
        for outcome in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        sandbox.connected = True
        self.records.save(sandbox)
        await links.join(self, sandbox)
        for endpoint in sandbox.endpoints:
            neighbours.meet(sandbox, endpoint, self.sandboxes.values())
            self.tell("connect", sandbox, endpoint)

    async def fill(self, container_id: str, pid: int) -> None:
        """`connect`, in the namespace that the runtime has made for the process `pid`, which waits for its start."""
        path = Path(self.sandboxes[container_id].netns_path)
        await self.in_thread(lambda: netns.pin(path, pid, bridge.loopback_up))
        await self.connect(container_id)

    @meter.timed("network_actions", "release")
    async def release(self, container_id: str) -> None:
        """Take down what `allocate` and `connect` made; fine if there is nothing.

        At its first return the proxies are gone. Called again, it waits until rules and ports are too. The link, and
        with it the address, may take a moment longer.
        """
        sandbox = self.sandboxes.pop(container_id, None)
        request = self.requests.pop(container_id, None)
        if sandbox is None:
            await self.publisher.ended(container_id)
            return
        joined = [(end, self.network_of(end)) for end in sandbox.endpoints]
        found = [(end, self.rules_of(network)) for end, network in joined if network and network.addressings]
        await self.publisher.unpublish(sandbox, found)
        await links.part(self, sandbox)
        for endpoint in sandbox.endpoints:
            neighbours.part(sandbox, endpoint, self.sandboxes.values())
            if sandbox.connected:
                self.tell("disconnect", sandbox, endpoint)
        if request and request.shared_container:
            self.records.delete(container_id)
        else:
            self.leave(sandbox)

    async def unlink(self, container_id: str, gone: Collection[str]) -> None:
        """These links are a container's no more."""
        if sandbox := self.sandboxes.get(container_id):
            await links.forget(self, sandbox, gone)

    # views

    def settings(self, container_id: str, idle: Request | None = None) -> dict[str, Any]:
        """`NetworkSettings` of inspect. Without a sandbox it is that of the stopped container `idle` describes."""
        if sandbox := self.sandboxes.get(container_id):
            return views.settings(sandbox, self.networks, self.requests[container_id].exposed)
        try:
            return views.idle_settings(self.targets(idle) if idle else [])
        except EngineError:  # a network that is gone
            return views.idle_settings([])

    def ports(self, container_id: str, exposed: Collection[str] = ()) -> list[dict[str, Any]]:
        """`Ports` of GET /containers/json; `exposed` are listed without a host port. Empty while it does not run."""
        sandbox = self.sandboxes.get(container_id)
        if sandbox is None:
            return []
        return views.port_list((binding for each in sandbox.endpoints for binding in each.bindings), exposed)

    def targets(self, request: Request) -> list[Target]:
        return targets(request, self.networks, default_bridge=self.config.bridge != "none")

    # for life.py and custom.py too

    def in_thread(self, action: Callable[[], T]) -> asyncio.Future[T]:
        return self._threads.run(action)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def settle(self) -> None:
        """Until nothing goes on in the background."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def rules_of(self, network: Network) -> rules.Bridge:
        bind_ip = network.options.get(options.BIND_IP, "")
        return rules.Bridge(
            network.link,
            tuple(each.subnet for each in network.addressings),
            masquerade=options.flag(network.options, options.MASQUERADE, True),
            icc=network.icc,
            internal=network.internal,
            proxied=self.config.userland_proxy,
            direct=self.config.allow_direct_routing or NO_RAW,
            mark=self.config.bridge_accept_fwmark,
            bind_ip="" if bind_ip == "0.0.0.0" else bind_ip,
            modes={version: network.mode(version) for version in (4, 6)},
            sources={version: network.options.get(key, "") for version, key in options.SOURCE.items()},
            trusted=options.trusted(network.options),
        )

    def network_of(self, endpoint: Endpoint) -> Network | None:
        return self.networks.by_id(endpoint.network_id)

    def gateway_endpoint(self, sandbox: Sandbox) -> Endpoint | None:
        """The endpoint that has the published ports: that of IPv4's default route, or else of IPv6's."""
        return self._way_out(sandbox, 4) or self._way_out(sandbox, 6)

    def routes(self, sandbox: Sandbox, endpoint: Endpoint) -> list[int]:
        """The families whose default route is by this endpoint."""
        return [version for version in (4, 6) if self._way_out(sandbox, version) is endpoint]

    def _way_out(self, sandbox: Sandbox, version: int) -> Endpoint | None:
        found = [(network, each.asked) for each in sandbox.endpoints if (network := self.network_of(each))]
        chosen = default_gateway_first(found, version)
        return next((each for each in sandbox.endpoints if chosen and each.network_id == chosen.id), None)

    def forget(self, endpoint: Endpoint) -> None:
        """Give its addresses back."""
        reserve.free(self.network_of(endpoint), endpoint)

    def plug(self, sandbox: Sandbox, endpoint: Endpoint, routes: Collection[int]) -> None:
        """In a thread: join the namespace to the endpoint's network."""
        if network := self.network_of(endpoint):
            path = Path(sandbox.netns_path)
            bridge.plug(path, network, endpoint, hairpin=not self.config.userland_proxy, routes=routes)

    async def drop_link(self, endpoint: Endpoint) -> None:
        """Until the link is gone. With its namespace it goes by itself, which is cheaper than to delete it."""
        deadline = asyncio.get_running_loop().time() + LINK_GONE
        while endpoint.link and _exists(endpoint.link):
            if asyncio.get_running_loop().time() > deadline:
                await self.in_thread(lambda: bridge.unplug(endpoint.link))
                return
            await asyncio.sleep(0.01)

    def tell(self, action: str, sandbox: Sandbox, endpoint: Endpoint) -> None:
        if network := self.network_of(endpoint):
            attributes = {"container": sandbox.container_id, "name": network.name, "type": network.driver}
            self.notify(action, network.id, attributes)

    # the parts of a start

    def _new_sandbox(self, request: Request) -> Sandbox:
        mode = mode_of(request)
        path = "" if mode == "host" else str(self.config.exec_root / "netns" / request.container_id[:12])
        hostname, hosts_file, resolv = (request.directory / name for name in ("hostname", "hosts", "resolv.conf"))
        number = secrets.token_hex(32)
        sandbox = Sandbox(request.container_id, path, hostname, hosts_file, resolv, mode, request.name, number)
        sandbox.late = bool(path) and self.config.owner != (0, 0) and request.host.UsernsMode != "host"
        return sandbox

    def _join(self, request: Request) -> Sandbox:
        other = self.sandboxes.get(request.shared_container)
        if other is None:
            raise Conflict(f"cannot join network of a non running container: {request.shared_container}")
        paths = (other.hostname_path, other.hosts_path, other.resolv_conf_path)
        return Sandbox(request.container_id, other.netns_path, *paths, mode="container", name=request.name)

    def _make(self, sandbox: Sandbox, request: Request, named: list[Record]) -> None:
        """In a thread: the namespace and the files."""
        default = self.networks.get("bridge")
        gateways = [str(each.gateway) for each in default.addressings if each.gateway]
        files.write(sandbox, request, self.config, gateways, named)
        for file in (sandbox.hostname_path, sandbox.hosts_path, sandbox.resolv_conf_path):
            os.chown(file, *self.config.owner)
        if sandbox.netns_path:
            path = Path(sandbox.netns_path)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            netns.remove(path)
            if not sandbox.late:
                netns.create(path, bridge.loopback_up)

    def _plug(self, sandbox: Sandbox) -> None:
        for endpoint in sandbox.endpoints:
            self.plug(sandbox, endpoint, self.routes(sandbox, endpoint))

    # background

    def leave(self, sandbox: Sandbox) -> None:
        self._leaving[sandbox.container_id] = self.spawn(self._leave(sandbox))

    async def _leave(self, sandbox: Sandbox) -> None:
        """Let the namespace go; addresses are free once the links are gone, or a successor would meet its ghost."""
        try:
            if sandbox.netns_path:
                await self.in_thread(lambda: netns.remove(Path(sandbox.netns_path)))
            await self.publisher.ended(sandbox.container_id)
            for endpoint in sandbox.endpoints:
                await self.drop_link(endpoint)
                self.forget(endpoint)
            self.records.delete(sandbox.container_id)
        except OSError as error:
            log.error("network not taken down container=%s error=%s", sandbox.container_id[:12], error)
        finally:
            self._leaving.pop(sandbox.container_id, None)

    def _proxy_died(self, container_id: str) -> None:
        self.spawn(self._revive(container_id))

    async def _revive(self, container_id: str) -> None:
        await asyncio.sleep(0.2)  # should it die again and again, the machine is to have some rest
        sandbox = self.sandboxes.get(container_id)
        if sandbox and (endpoint := self.gateway_endpoint(sandbox)) and (network := self.network_of(endpoint)):
            await self.publisher.revive(sandbox, endpoint, self.rules_of(network))


def _exists(link: str) -> bool:
    """By an ioctl, which unlike netlink does not wait for whoever is changing links."""
    try:
        socket.if_nametoindex(link)
    except OSError:
        return False
    return True
