"""containerd.services.namespaces.v1.Namespaces: the wire of metadata/namespaces.py."""

from typing import Any

from google.protobuf.empty_pb2 import Empty

from protos.containerd.events import namespace_pb2 as events
from protos.containerd.services.namespaces.v1 import namespace_pb2 as pb
from protos.containerd.services.namespaces.v1.namespace_pb2_grpc import NamespacesServicer
from services.containerd.events.exchange import Exchange
from services.containerd.metadata.namespaces import Namespaces


class NamespacesService(NamespacesServicer):
    def __init__(self, namespaces: Namespaces, exchange: Exchange) -> None:
        self._namespaces = namespaces
        self._exchange = exchange

    async def Get(self, request: pb.GetNamespaceRequest, context: Any) -> pb.GetNamespaceResponse:
        return pb.GetNamespaceResponse(namespace=self._namespaces.get(request.name))

    async def List(self, request: pb.ListNamespacesRequest, context: Any) -> pb.ListNamespacesResponse:
        return pb.ListNamespacesResponse(namespaces=self._namespaces.all())

    async def Create(self, request: pb.CreateNamespaceRequest, context: Any) -> pb.CreateNamespaceResponse:
        made = self._namespaces.create(request.namespace)
        event = events.NamespaceCreate(name=made.name, labels=made.labels)
        self._exchange.publish(made.name, "/namespaces/create", event)
        return pb.CreateNamespaceResponse(namespace=made)

    async def Update(self, request: pb.UpdateNamespaceRequest, context: Any) -> pb.UpdateNamespaceResponse:
        changed = self._namespaces.update(request.namespace, list(request.update_mask.paths))
        event = events.NamespaceUpdate(name=changed.name, labels=changed.labels)
        self._exchange.publish(changed.name, "/namespaces/update", event)
        return pb.UpdateNamespaceResponse(namespace=changed)

    async def Delete(self, request: pb.DeleteNamespaceRequest, context: Any) -> Empty:
        self._namespaces.delete(request.name)
        self._exchange.publish(request.name, "/namespaces/delete", events.NamespaceDelete(name=request.name))
        return Empty()
