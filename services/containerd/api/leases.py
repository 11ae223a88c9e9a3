"""containerd.services.leases.v1.Leases: the wire of metadata/leases.py."""

import secrets
import time
from typing import Any

from google.protobuf.empty_pb2 import Empty

from protos.containerd.services.leases.v1 import leases_pb2 as pb
from protos.containerd.services.leases.v1.leases_pb2_grpc import LeasesServicer
from protos.rpc import require_namespace
from services.containerd.collector import Collector
from services.containerd.metadata.leases import Leases


class LeasesService(LeasesServicer):
    def __init__(self, leases: Leases, collector: Collector) -> None:
        self._leases = leases
        self._collector = collector

    async def Create(self, request: pb.CreateRequest, context: Any) -> pb.CreateResponse:
        name = request.id or f"{time.time_ns() % 10**9}-{secrets.token_urlsafe(3)}"
        return pb.CreateResponse(lease=self._leases.create(require_namespace(), name, dict(request.labels)))

    async def Delete(self, request: pb.DeleteRequest, context: Any) -> Empty:
        self._leases.delete(require_namespace(), request.id)
        if request.sync:
            await self._collector.collect()
        else:
            self._collector.deleted()
        return Empty()

    async def List(self, request: pb.ListRequest, context: Any) -> pb.ListResponse:
        return pb.ListResponse(leases=self._leases.select(require_namespace(), request.filters))

    async def AddResource(self, request: pb.AddResourceRequest, context: Any) -> Empty:
        self._leases.add(require_namespace(), request.id, request.resource)
        return Empty()

    async def DeleteResource(self, request: pb.DeleteResourceRequest, context: Any) -> Empty:
        self._leases.remove(require_namespace(), request.id, request.resource)
        self._collector.deleted()
        return Empty()

    async def ListResources(self, request: pb.ListResourcesRequest, context: Any) -> pb.ListResourcesResponse:
        return pb.ListResourcesResponse(resources=self._leases.resources(require_namespace(), request.id))
