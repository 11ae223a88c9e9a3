"""containerd.services.containers.v1.Containers: the wire of metadata/containers.py."""

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.empty_pb2 import Empty

from protos.containerd.events import container_pb2 as events
from protos.containerd.services.containers.v1 import containers_pb2 as pb
from protos.containerd.services.containers.v1.containers_pb2_grpc import ContainersServicer
from protos.rpc import require_namespace
from services.containerd.collector import Collector
from services.containerd.events.exchange import Exchange
from services.containerd.metadata.containers import Containers


class ContainersService(ContainersServicer):
    def __init__(self, containers: Containers, exchange: Exchange, collector: Collector) -> None:
        self._containers = containers
        self._exchange = exchange
        self._collector = collector

    async def Get(self, request: pb.GetContainerRequest, context: Any) -> pb.GetContainerResponse:
        return pb.GetContainerResponse(container=self._containers.get(require_namespace(), request.id))

    async def List(self, request: pb.ListContainersRequest, context: Any) -> pb.ListContainersResponse:
        return pb.ListContainersResponse(containers=self._containers.select(require_namespace(), request.filters))

    async def ListStream(
        self, request: pb.ListContainersRequest, context: Any
    ) -> AsyncIterator[pb.ListContainerMessage]:
        for container in self._containers.select(require_namespace(), request.filters):
            yield pb.ListContainerMessage(container=container)

    async def Create(self, request: pb.CreateContainerRequest, context: Any) -> pb.CreateContainerResponse:
        namespace = require_namespace()
        made = self._containers.create(namespace, request.container)
        runtime = events.ContainerCreate.Runtime(name=made.runtime.name, options=made.runtime.options)
        event = events.ContainerCreate(id=made.id, image=made.image, runtime=runtime)
        self._exchange.publish(namespace, "/containers/create", event)
        return pb.CreateContainerResponse(container=made)

    async def Update(self, request: pb.UpdateContainerRequest, context: Any) -> pb.UpdateContainerResponse:
        namespace = require_namespace()
        changed = self._containers.update(namespace, request.container, request.update_mask.paths)
        event = events.ContainerUpdate(
            id=changed.id, image=changed.image, labels=changed.labels, snapshot_key=changed.snapshot_key
        )
        self._exchange.publish(namespace, "/containers/update", event)
        return pb.UpdateContainerResponse(container=changed)

    async def Delete(self, request: pb.DeleteContainerRequest, context: Any) -> Empty:
        namespace = require_namespace()
        self._containers.delete(namespace, request.id)
        self._exchange.publish(namespace, "/containers/delete", events.ContainerDelete(id=request.id))
        self._collector.deleted()
        return Empty()
