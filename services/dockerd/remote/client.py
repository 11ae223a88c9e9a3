"""Typed calls to docker-containerd, or to a real containerd: one channel, one stub per service, one namespace.

Errors arrive as classes of `protos.errdefs`. What must outlive docker-containerd (Wait, Subscribe) retries elsewhere.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc
from google.protobuf import empty_pb2
from grpc import aio

from protos import channel, errdefs
from protos.containerd.services.containers.v1.containers_pb2_grpc import ContainersStub
from protos.containerd.services.content.v1.content_pb2_grpc import ContentStub
from protos.containerd.services.diff.v1.diff_pb2_grpc import DiffStub
from protos.containerd.services.events.v1.events_pb2_grpc import EventsStub
from protos.containerd.services.images.v1.images_pb2_grpc import ImagesStub
from protos.containerd.services.introspection.v1.introspection_pb2_grpc import IntrospectionStub
from protos.containerd.services.leases.v1.leases_pb2_grpc import LeasesStub
from protos.containerd.services.namespaces.v1.namespace_pb2_grpc import NamespacesStub
from protos.containerd.services.snapshots.v1.snapshots_pb2_grpc import SnapshotsStub
from protos.containerd.services.tasks.v1.tasks_pb2_grpc import TasksStub
from protos.containerd.services.version.v1.version_pb2_grpc import VersionStub
from services.dockerd.metrics import meter

log = logging.getLogger("client")

PATIENCE: Final = 10.0
"""Seconds a request waits for a docker-containerd that is being restarted."""
HUNG: Final = 5.0
"""Seconds after which one that says nothing to the simplest question counts as hung."""
_AWAY: Final = "docker-containerd is not available"

Reply = TypeVar("Reply")


class Client:
    """`await client.call(client.tasks.Kill, KillRequest(...))`; streams by `async for` over `client.stream(...)`."""

    def __init__(self, address: str, namespace: str = "moby") -> None:
        self.address = address
        self.namespace = namespace
        self.channel = channel.open_channel(address)
        self.containers = ContainersStub(self.channel)
        self.content = ContentStub(self.channel)
        self.diff = DiffStub(self.channel)
        self.events = EventsStub(self.channel)
        self.images = ImagesStub(self.channel)
        self.introspection = IntrospectionStub(self.channel)
        self.leases = LeasesStub(self.channel)
        self.namespaces = NamespacesStub(self.channel)
        self.snapshots = SnapshotsStub(self.channel)
        self.tasks = TasksStub(self.channel)
        self.version = VersionStub(self.channel)

    async def call(
        self,
        method: Callable[..., Awaitable[Reply]],
        request: object,
        *,
        lease: str = "",
        timeout: float | None = channel.DEADLINE,
    ) -> Reply:
        """One unary call in this client's namespace; `timeout=None` for calls that wait by their nature.

        Where docker-containerd is being restarted, it is waited for; a call that its end cut short is not repeated.
        """
        sink = meter.sink()
        if sink is None:
            return await self._call(method, request, lease, timeout)
        began, name = time.perf_counter(), _name(method)
        try:
            return await self._call(method, request, lease, timeout)
        except errdefs.EngineError as error:
            sink.count("containerd_call_failures", name, type(error).__name__)
            raise
        finally:
            sink.seconds("containerd_calls", time.perf_counter() - began, name)

    async def _call(
        self, method: Callable[..., Awaitable[Reply]], request: object, lease: str, timeout: float | None
    ) -> Reply:
        try:
            try:
                return await channel.call(method, request, self.namespace, lease=lease, timeout=timeout)
            except channel.Unreachable:
                await self._reachable()
            return await channel.call(method, request, self.namespace, lease=lease, timeout=timeout)
        except (channel.Unreachable, channel.Cut) as error:
            raise _told(error) from error

    async def _reachable(self) -> None:
        """Return once docker-containerd listens again, or has not for PATIENCE."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self.channel.channel_ready()

    async def stream(self, method: Callable[..., Any], request: Any, *, lease: str = "") -> AsyncIterator[Any]:
        """Replies of a streaming call; `request` is a message, or an async iterator of them."""
        try:
            if self.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                await self._reachable()
            async for reply in method(request, metadata=channel.metadata(self.namespace, lease)):
                yield reply
        except aio.AioRpcError as error:
            raise _told(channel.error_of(error)) from error

    async def answers(self) -> bool:
        """Whether docker-containerd answers within HUNG; False also where there is none."""
        try:
            await self.version.Version(empty_pb2.Empty(), wait_for_ready=True, timeout=HUNG)
        except aio.AioRpcError as error:
            return error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
        return True

    async def close(self) -> None:
        await self.channel.close()


def _told(error: errdefs.EngineError) -> errdefs.EngineError:
    """A loss of docker-containerd in words for whoever made the request; any other error as it is."""
    if isinstance(error, channel.Unreachable):
        log.debug("docker-containerd is away error=%s", error)
        return errdefs.Unavailable(f"{_AWAY}: it is being restarted and did not answer in time, see the daemon's log")
    if isinstance(error, channel.Cut):
        log.debug("docker-containerd ended during a call error=%s", error)
        return errdefs.Unavailable(f"{_AWAY}: it ended during this request, try again")
    return error


def _name(method: object) -> str:
    """`Tasks/Create` of a stub's method."""
    path: bytes = getattr(method, "_method", b"")  # grpc keeps it to itself
    return path.decode().rpartition(".")[2] or "unknown"
