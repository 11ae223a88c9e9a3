"""Published ports of containers: taken, forwarded by rules and proxies, brought back when a proxy dies, given back.

A container's proxies end before `unpublish` returns. Its rules go at once too, but the kernel is slow to confirm that,
so the ports are given back in the background; whoever wants one of them meanwhile waits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from functools import partial
from typing import Any

from protos.binding import Binding
from protos.errdefs import EngineError, Internal
from services.dockerd.network import holder
from services.dockerd.network.config import NetworkConfig
from services.dockerd.network.endpoint import Endpoint
from services.dockerd.network.firewall import conntrack, rules
from services.dockerd.network.firewall.firewall import Firewall
from services.dockerd.network.portmap import PortInUse, PortMap, Published
from services.dockerd.network.ports import Wish, overlap, routed, translated, wishes
from services.dockerd.network.proxies import Proxies
from services.dockerd.network.request import Request
from services.dockerd.network.sandbox import Sandbox
from services.dockerd.network.threads import Threads

log = logging.getLogger("network")

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Publisher:
    def __init__(
        self,
        config: NetworkConfig,
        firewall: Firewall,
        threads: Threads,
        spawn: Spawn,
        on_death: Callable[[str], None],
    ) -> None:
        self.config = config
        self.firewall = firewall
        self.proxies = Proxies(config, threads, on_death)
        self.portmap = PortMap(listening=config.userland_proxy)
        self._threads = threads
        self._spawn = spawn
        self._reserved: dict[str, list[Published]] = {}
        """Ports held without a proxy."""
        self._ending: dict[str, tuple[asyncio.Task[None], list[Binding]]] = {}
        self._flows = Flows(threads, spawn)

    async def publish(self, sandbox: Sandbox, endpoint: Endpoint, net: rules.Bridge, request: Request) -> None:
        """Publish all that a container asks for. Docker's errors: "port is already allocated" and others."""
        host = request.host
        asked = wishes(host.PortBindings, request.exposed, host.PublishAllPorts, net.bind_ip)
        if not asked:
            return
        try:
            await self._wait_for(asked)
            bare = [str(each.address) for each in endpoint.places if net.routed(each.address.version)]
            others = [each for each in endpoint.addresses if each not in bare]
            published = self.portmap.publish(translated(asked, bare), others, sandbox.name)
            endpoint.bindings = [each.binding for each in published] + routed(asked, bare)
            await self._expose(sandbox, endpoint, net, published)
        except PortInUse as error:
            who = await self._threads.run(partial(holder.describe, error.protocol, error.port))
            raise _not_exposed(sandbox, endpoint, f"{error}{who}") from error
        except (EngineError, OSError) as error:
            raise _not_exposed(sandbox, endpoint, str(error)) from error

    async def forward_again(
        self, sandbox: Sandbox, endpoint: Endpoint, net: rules.Bridge, living: Collection[Binding]
    ) -> None:
        """Proxies, or reservations, for those bindings of an endpoint that have none."""
        missing = [each for each in endpoint.bindings if each.host_port and each not in living]
        if missing:
            log.warning("ports forwarded again container=%s ports=%d", sandbox.container_id[:12], len(missing))
            await self._expose(sandbox, endpoint, net, self.portmap.listen(missing))

    async def revive(self, sandbox: Sandbox, endpoint: Endpoint, net: rules.Bridge) -> None:
        """A proxy ended though its container lives."""
        try:
            await self.forward_again(sandbox, endpoint, net, self.proxies.published_by(sandbox.container_id))
        except (EngineError, OSError, PortInUse) as error:
            log.error("ports are not forwarded any more container=%s error=%s", sandbox.container_id[:12], error)

    async def unpublish(self, sandbox: Sandbox, found: Iterable[tuple[Endpoint, rules.Bridge]]) -> None:
        """The proxies are gone at the return, all else soon after: `ended` waits for it."""
        await self.proxies.stop(sandbox.container_id)
        self.portmap.close(self._reserved.pop(sandbox.container_id, []))
        gone: list[rules.Rule] = []
        bindings: list[Binding] = []
        for endpoint, net in found:
            gone += rules.ports(net, endpoint.bindings)
            bindings += endpoint.bindings
        if bindings:
            task = self._spawn(self._give_back(sandbox.container_id, gone, bindings))
            self._ending[sandbox.container_id] = task, bindings

    async def ended(self, container_id: str) -> None:
        """Until nothing is left of what a container published."""
        if ending := self._ending.get(container_id):
            await asyncio.shield(ending[0])

    async def _give_back(self, container_id: str, gone: list[rules.Rule], bindings: list[Binding]) -> None:
        try:
            await self.firewall.remove(gone)
            self._forget_flows(bindings)
        except EngineError as error:
            log.error("rules of a container stay container=%s error=%s", container_id[:12], error)
        finally:
            self.portmap.release(bindings)
            del self._ending[container_id]

    async def _wait_for(self, asked: Iterable[Wish]) -> None:
        """Until containers that are leaving have let go of the ports that are wanted by number."""
        fixed = [wish for wish in asked if len(wish.ports) == 1]
        for task, bindings in list(self._ending.values()):
            if any(_stands_in_the_way(binding, wish) for binding in bindings for wish in fixed):
                await asyncio.shield(task)

    async def _expose(
        self, sandbox: Sandbox, endpoint: Endpoint, net: rules.Bridge, published: list[Published]
    ) -> None:
        """Rules and proxies for ports that are taken already."""
        work: list[Awaitable[object]] = [self._rules(net, endpoint.bindings)]
        if self.config.userland_proxy:
            work.append(self.proxies.start(sandbox.container_id, published))
        else:
            self._reserved.setdefault(sandbox.container_id, []).extend(published)
        for outcome in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _rules(self, net: rules.Bridge, bindings: list[Binding]) -> None:
        await self.firewall.add(rules.ports(net, bindings))
        self._forget_flows(bindings)

    def _forget_flows(self, bindings: Iterable[Binding]) -> None:
        """After the rules have changed: flows tracked from now on follow the new ones."""
        if self.config.iptables or self.config.ip6tables:
            self._flows.forget([each for each in bindings if each.protocol == "udp"])


class Flows:
    """UDP flows to be forgotten, all that wait in one pass: the kernel walks its whole table for each."""

    def __init__(self, threads: Threads, spawn: Spawn) -> None:
        self._threads = threads
        self._spawn = spawn
        self._waiting: set[Binding] = set()
        self._busy = False

    def forget(self, bindings: Iterable[Binding]) -> None:
        self._waiting.update(bindings)
        if self._waiting and not self._busy:
            self._busy = True
            self._spawn(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                ports = {each.host_port for each in self._waiting}
                addresses = {each.container_ip for each in self._waiting}
                self._waiting.clear()
                await self._threads.run(partial(conntrack.forget_udp, ports, addresses))
        except OSError as error:
            log.warning("UDP flows stay tracked error=%s", error)
        finally:
            self._busy = False


def _stands_in_the_way(binding: Binding, wish: Wish) -> bool:
    same = binding.protocol == wish.protocol and binding.host_port == wish.ports[0]
    return same and any(overlap(binding.host_ip, address) for address in wish.addresses)


def _not_exposed(sandbox: Sandbox, endpoint: Endpoint, why: str) -> Internal:
    what = f"driver failed programming external connectivity on endpoint {sandbox.name} ({endpoint.id})"
    return Internal(f"{what}: {why}")
