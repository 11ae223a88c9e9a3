"""Networks of containers: one Controller per dockerd, asked by the engine, answering from memory.

A container's network is a Sandbox (one network namespace, pinned under the exec root) with Endpoints in it. A start
is `allocate` (quick, before Tasks.Create), then `connect` (beside Tasks.Create); an end is `release`. State is rebuilt
from the live kernel and one small file per sandbox; a killed dockerd leaves everything working for the next to adopt.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.dockerd.network.config import NetworkConfig
from services.dockerd.network.sandbox import Sandbox
from services.dockerd.schema.container import EndpointSettings, HostConfig

Notify = Callable[[str, str, dict[str, str]], None]
"""Told of `connect`, `disconnect`, `create`, `destroy` of a network: action, network id, attributes of the event."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the engine knows of a container that concerns its network."""

    container_id: str
    name: str
    """Without the leading slash."""
    hostname: str
    domainname: str
    host: HostConfig
    directory: Path
    """containers/<id>: hostname, hosts and resolv.conf are written there."""
    endpoints: dict[str, EndpointSettings] = field(default_factory=dict)
    """By network name or id; what HostConfig.NetworkMode names is added if it is missing."""
    exposed: list[str] = field(default_factory=list)
    """Keys of ExposedPorts, as `80/tcp`."""
    mac_address: str = ""
    shared_container: str = ""
    """Full id of the container whose sandbox this one joins (`--network container:x`)."""
    disabled: bool = False
    """Config.NetworkDisabled: loopback only."""


class Controller:
    """Every method but `settings` and `ports` may wait for the kernel; none waits for another container's start."""

    def __init__(self, config: NetworkConfig, notify: Notify = lambda action, network, attributes: None) -> None:
        self.config = config
        self._notify = notify

    async def start(self, live: Collection[Request]) -> None:
        """Make the default bridge, forwarding and chains; adopt the sandboxes of `live`, release all others."""
        raise NotImplementedError

    async def stop(self, *, keep: bool = False) -> None:
        """End. Everything of ours goes from the host, unless `keep` (live restore) leaves it for the next dockerd."""
        raise NotImplementedError

    async def allocate(self, request: Request) -> Sandbox:
        """Reserve addresses, make the namespace, write hostname, hosts and resolv.conf. Undone by `release`."""
        raise NotImplementedError

    async def connect(self, container_id: str) -> None:
        """Links, addresses, routes, rules, proxies. On an error the caller still has to `release`.

        Raises Docker's errors: "... port is already allocated", "... address already in use".
        """
        raise NotImplementedError

    async def release(self, container_id: str) -> None:
        """Take down what `allocate` and `connect` made; fine if there is nothing."""
        raise NotImplementedError

    def settings(self, container_id: str, idle: Request | None = None) -> dict[str, Any]:
        """`NetworkSettings` of inspect. Without a sandbox it is that of the stopped container `idle` describes."""
        raise NotImplementedError

    def ports(self, container_id: str, exposed: Collection[str] = ()) -> list[dict[str, Any]]:
        """`Ports` of GET /containers/json; `exposed` are listed without a host port."""
        raise NotImplementedError
