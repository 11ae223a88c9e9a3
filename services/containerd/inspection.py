"""What grpcurl-like tools ask of every hop: health, and reflection, which is loaded by its first caller."""

from collections.abc import Sequence
from typing import Any, Final

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

SERVICES: Final = tuple(
    f"containerd.services.{name}.v1.{name.capitalize()}"
    for name in (
        "containers", "content", "diff", "events", "images", "introspection", "leases", "namespaces", "snapshots",
        "tasks", "version",
    )
)
_REFLECTION: Final = "/grpc.reflection."


async def enable(server: aio.Server) -> None:
    """Add both services to a server that is not started yet."""
    servicer = HealthServicer()
    for name in ("", *SERVICES):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_generic_rpc_handlers((_Reflection(),))


class _Reflection(grpc.GenericRpcHandler):
    def __init__(self) -> None:
        self._handlers: Sequence[grpc.GenericRpcHandler] | None = None

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        if not handler_call_details.method.startswith(_REFLECTION):
            return None
        if self._handlers is None:
            self._handlers = _load()
        found = (handler.service(handler_call_details) for handler in self._handlers)
        return next((method for method in found if method is not None), None)


class _Catcher:
    """Stands in for a server, to get at the handlers that are added to it."""

    def __init__(self) -> None:
        self.handlers: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self.handlers += handlers

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """The same handlers once more, by method."""


def _load() -> Sequence[grpc.GenericRpcHandler]:
    from grpc_reflection.v1alpha import reflection  # some milliseconds that only curious tools pay

    catcher: Any = _Catcher()
    reflection.enable_server_reflection((*SERVICES, "grpc.health.v1.Health", reflection.SERVICE_NAME), catcher)
    handlers: list[grpc.GenericRpcHandler] = catcher.handlers
    return handlers
