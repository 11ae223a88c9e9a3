"""containerd.services.images.v1.Images: the wire of metadata/images.py."""

from typing import Any

from google.protobuf.empty_pb2 import Empty

from protos.containerd.events import image_pb2 as events
from protos.containerd.services.images.v1 import images_pb2 as pb
from protos.containerd.services.images.v1.images_pb2_grpc import ImagesServicer
from protos.rpc import require_namespace
from services.containerd.collector import Collector
from services.containerd.events.exchange import Exchange
from services.containerd.metadata.images import Images
from services.containerd.upkeep import Upkeep


class ImagesService(ImagesServicer):
    def __init__(self, images: Images, exchange: Exchange, collector: Collector, upkeep: Upkeep) -> None:
        self._images = images
        self._upkeep = upkeep
        self._exchange = exchange
        self._collector = collector

    async def Get(self, request: pb.GetImageRequest, context: Any) -> pb.GetImageResponse:
        return pb.GetImageResponse(image=self._images.get(require_namespace(), request.name))

    async def List(self, request: pb.ListImagesRequest, context: Any) -> pb.ListImagesResponse:
        return pb.ListImagesResponse(images=self._images.select(require_namespace(), request.filters))

    async def Create(self, request: pb.CreateImageRequest, context: Any) -> pb.CreateImageResponse:
        namespace = require_namespace()
        made = self._images.create(namespace, request.image)
        await self._upkeep.sync()
        self._exchange.publish(namespace, "/images/create", events.ImageCreate(name=made.name, labels=made.labels))
        return pb.CreateImageResponse(image=made)

    async def Update(self, request: pb.UpdateImageRequest, context: Any) -> pb.UpdateImageResponse:
        namespace = require_namespace()
        changed = self._images.update(namespace, request.image, request.update_mask.paths)
        await self._upkeep.sync()
        event = events.ImageUpdate(name=changed.name, labels=changed.labels)
        self._exchange.publish(namespace, "/images/update", event)
        self._collector.deleted()
        return pb.UpdateImageResponse(image=changed)

    async def Delete(self, request: pb.DeleteImageRequest, context: Any) -> Empty:
        namespace = require_namespace()
        self._images.delete(namespace, request.name, request.target.digest)
        self._exchange.publish(namespace, "/images/delete", events.ImageDelete(name=request.name))
        if request.sync:
            await self._collector.collect()
        else:
            self._collector.deleted()
        return Empty()
