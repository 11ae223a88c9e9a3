"""The error classes of every service, named after what the caller should do, and their one table onto gRPC.

Mirrors containerd's errdefs. HTTP statuses are not here: services/dockerd/errors.py.
A message says what, which id, why and what to do; texts that clients match are Docker's own.
"""

import grpc


class EngineError(Exception):
    """Root of the table; `code` is the gRPC status it travels as."""

    code = grpc.StatusCode.UNKNOWN
    suffix = ""


class Unknown(EngineError):
    """Something failed that nobody classified."""


class Canceled(EngineError):
    code = grpc.StatusCode.CANCELLED


class InvalidArgument(EngineError):
    code = grpc.StatusCode.INVALID_ARGUMENT


class DeadlineExceeded(EngineError):
    code = grpc.StatusCode.DEADLINE_EXCEEDED


class NotFound(EngineError):
    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(EngineError):
    code = grpc.StatusCode.ALREADY_EXISTS


class PermissionDenied(EngineError):
    code = grpc.StatusCode.PERMISSION_DENIED


class Unauthenticated(EngineError):
    code = grpc.StatusCode.UNAUTHENTICATED


class ResourceExhausted(EngineError):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class FailedPrecondition(EngineError):
    code = grpc.StatusCode.FAILED_PRECONDITION


class Conflict(FailedPrecondition):
    """The object is in a state that forbids the request; another request may change that."""

    suffix = ": conflict"


class NotModified(FailedPrecondition):
    """The object is in the state that was asked for."""

    suffix = ": not modified"


class Aborted(EngineError):
    code = grpc.StatusCode.ABORTED


class OutOfRange(EngineError):
    code = grpc.StatusCode.OUT_OF_RANGE


class Unimplemented(EngineError):
    code = grpc.StatusCode.UNIMPLEMENTED


class Internal(EngineError):
    code = grpc.StatusCode.INTERNAL


class Unavailable(EngineError):
    code = grpc.StatusCode.UNAVAILABLE


class DataLoss(EngineError):
    code = grpc.StatusCode.DATA_LOSS


_BY_CODE: dict[grpc.StatusCode, type[EngineError]] = {
    kind.code: kind
    for kind in (
        Unknown, Canceled, InvalidArgument, DeadlineExceeded, NotFound, AlreadyExists, PermissionDenied,
        Unauthenticated, ResourceExhausted, FailedPrecondition, Aborted, OutOfRange, Unimplemented, Internal,
        Unavailable, DataLoss,
    )
}


def to_grpc(error: EngineError) -> tuple[grpc.StatusCode, str]:
    """Status and details an error travels as."""
    return error.code, str(error) + error.suffix


def from_grpc(code: grpc.StatusCode, details: str) -> EngineError:
    """The error that `to_grpc` turned into this status; foreign servers' statuses map by code alone."""
    for kind in (Conflict, NotModified):
        if code is kind.code and details.endswith(kind.suffix):
            return kind(details.removesuffix(kind.suffix))
    return _BY_CODE.get(code, Unknown)(details)
