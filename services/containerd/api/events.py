"""containerd.services.events.v1.Events: the wire of events/exchange.py."""

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.empty_pb2 import Empty

from protos.containerd.services.events.v1 import events_pb2 as pb
from protos.containerd.services.events.v1.events_pb2_grpc import EventsServicer
from protos.containerd.types.event_pb2 import Envelope
from protos.rpc import require_namespace
from services.containerd.events.exchange import Exchange


class EventsService(EventsServicer):
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def Publish(self, request: pb.PublishRequest, context: Any) -> Empty:
        self._exchange.publish_any(require_namespace(), request.topic, request.event)
        return Empty()

    async def Forward(self, request: pb.ForwardRequest, context: Any) -> Empty:
        self._exchange.forward(request.envelope)
        return Empty()

    async def Subscribe(self, request: pb.SubscribeRequest, context: Any) -> AsyncIterator[Envelope]:
        """The headers of the reply tell that events from now on will arrive."""
        with self._exchange.subscribe(request.filters) as subscription:
            await context.send_initial_metadata(())
            while True:
                yield await subscription.next()
