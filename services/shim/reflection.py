"""Answers of gRPC server reflection out of protobuf's descriptor pool."""

from collections.abc import Iterable

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection_pb2

from protos import errdefs


def describe(
    request: reflection_pb2.ServerReflectionRequest, services: Iterable[str]
) -> reflection_pb2.ServerReflectionResponse:
    response = reflection_pb2.ServerReflectionResponse(valid_host=request.host, original_request=request)
    kind = request.WhichOneof("message_request")
    try:
        if kind == "list_services":
            names = [reflection_pb2.ServiceResponse(name=name) for name in services]
            response.list_services_response.service.extend(names)
        else:
            found = _files(_find(request, kind))
            response.file_descriptor_response.file_descriptor_proto.extend(found)
    except KeyError as error:
        response.error_response.error_code = errdefs.NotFound.code
        response.error_response.error_message = str(error)
    return response


def _find(request: reflection_pb2.ServerReflectionRequest, kind: str | None) -> FileDescriptor:
    pool = descriptor_pool.Default()
    if kind == "file_by_filename":
        return pool.FindFileByName(request.file_by_filename)
    if kind == "file_containing_symbol":
        return pool.FindFileContainingSymbol(request.file_containing_symbol)
    raise KeyError(f"reflection request {kind} is not supported")


def _files(first: FileDescriptor) -> list[bytes]:
    """A file and all it imports."""
    seen: dict[str, bytes] = {}
    left = [first]
    while left:
        file = left.pop()
        if file.name not in seen:
            seen[file.name] = file.serialized_pb
            left.extend(file.dependencies)
    return list(seen.values())
