"""What a proxy answers over gRPC: proxy.v1.Proxy, health and reflection. Imported only once somebody asks."""

import socket
from collections.abc import Iterable, Iterator

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.empty_pb2 import Empty
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from protos.binding import Binding
from protos.errdefs import NotFound
from protos.proxy.v1 import proxy_pb2
from services.proxy.proxy import Proxy
from services.proxy.rpc import Connection, Method

SERVICES = ("proxy.v1.Proxy", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")


def serve(proxy: Proxy, sock: socket.socket) -> None:
    """Answer one client until it leaves."""
    service = Service(proxy)
    methods = {
        "/proxy.v1.Proxy/List": Method(Empty, service.list_forwards),
        "/proxy.v1.Proxy/Remove": Method(proxy_pb2.RemoveRequest, service.remove),
        "/proxy.v1.Proxy/Shutdown": Method(Empty, service.shutdown),
        "/grpc.health.v1.Health/Check": Method(health_pb2.HealthCheckRequest, check_health),
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Method(
            reflection_pb2.ServerReflectionRequest, describe
        ),
    }
    Connection(proxy.loop, sock, methods)


class Service:
    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def list_forwards(self, request: Empty) -> Iterator[proxy_pb2.ListResponse]:
        yield proxy_pb2.ListResponse(
            container_id=self._proxy.container_id,
            forwards=[
                proxy_pb2.Forward(
                    binding=to_proto(binding),
                    connections=forward.connections,
                    bytes_in=forward.bytes_in,
                    bytes_out=forward.bytes_out,
                )
                for binding, forward in self._proxy.forwards.items()
            ],
        )

    def remove(self, request: proxy_pb2.RemoveRequest) -> Iterator[Empty]:
        self._proxy.remove(from_proto(request.binding))
        yield Empty()

    def shutdown(self, request: Empty) -> Iterator[Empty]:
        yield Empty()
        self._proxy.loop.stop()


def to_proto(binding: Binding) -> proxy_pb2.Binding:
    return proxy_pb2.Binding(**binding._asdict())


def from_proto(binding: proxy_pb2.Binding) -> Binding:
    return Binding(binding.protocol, binding.host_ip, binding.host_port, binding.container_ip, binding.container_port)


def check_health(request: health_pb2.HealthCheckRequest) -> Iterator[health_pb2.HealthCheckResponse]:
    if request.service and request.service not in SERVICES:
        raise NotFound(f"no such service: {request.service}")
    yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


def describe(
    request: reflection_pb2.ServerReflectionRequest,
) -> Iterator[reflection_pb2.ServerReflectionResponse]:
    """Server reflection, for grpcurl and its like."""
    response = reflection_pb2.ServerReflectionResponse(valid_host=request.host, original_request=request)
    pool = descriptor_pool.Default()
    try:
        if request.HasField("list_services"):
            names = (reflection_pb2.ServiceResponse(name=name) for name in SERVICES)
            response.list_services_response.service.extend(names)
        elif request.HasField("file_by_filename"):
            found = files(pool.FindFileByName(request.file_by_filename))
            response.file_descriptor_response.file_descriptor_proto.extend(found)
        else:
            found = files(pool.FindFileContainingSymbol(request.file_containing_symbol))
            response.file_descriptor_response.file_descriptor_proto.extend(found)
    except KeyError as error:
        response.error_response.error_code = NotFound.code
        response.error_response.error_message = str(error)
    yield response


def files(first: FileDescriptor) -> Iterable[bytes]:
    """A file and all it imports."""
    seen = {first.name: first.serialized_pb}
    left = list(first.dependencies)
    while left:
        file = left.pop()
        if file.name not in seen:
            seen[file.name] = file.serialized_pb
            left.extend(file.dependencies)
    return seen.values()
