"""The tasks of every namespace: which shim serves which container, and every verb on it.

Wiring: `Tasks(settings, containers, mounts, publish)`, `await start()` before the server listens (adopts the shims of an
earlier life), `await stop()` after it closed (ends the zygote; shims and containers live on). Wire: api/tasks.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from google.protobuf.message import Message

from protos.containerd.services.containers.v1 import containers_pb2
from protos.containerd.types import mount_pb2

Publish = Callable[[str, str, Message], None]
"""publish(namespace, topic, event message): hands an event to the exchange; never blocks."""

Mounts = Callable[[str, str, str], Sequence[mount_pb2.Mount]]
"""mounts(namespace, snapshotter, key): the mounts of a snapshot."""


class Containers(Protocol):
    """What the runtime needs of the container store."""

    def get(self, namespace: str, container_id: str) -> containers_pb2.Container:
        """The container; raises NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the runtime keeps and finds things."""

    root: Path
    """What outlives a reboot (`--root`): work directories lie below it."""
    state: Path
    """What does not (`--state`): bundles and shim sockets lie below it."""
    address: str
    """Path of docker-containerd's own socket, where shims forward their events to."""
    shim: Path
    """The docker-containerd-shim executable."""
    debug: bool = False


class Tasks:
    def __init__(self, settings: Settings, containers: Containers, mounts: Mounts, publish: Publish) -> None: ...

    async def start(self) -> None:
        """Start the zygote, connect to the shims found in bundles, clean up after those that died meanwhile."""

    async def stop(self) -> None:
        """End the zygote and all connections; containers and their shims go on."""

    def alive(self, namespace: str, container_id: str) -> bool:
        """Whether the container has a task (a shim), running or not."""
        return False
