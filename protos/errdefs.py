"""The error classes of every service, named after what the caller should do, and their one table onto gRPC.

Mirrors containerd's errdefs. Codes are gRPC's numbers, so that a shim need not import grpc.
HTTP statuses are not here: services/dockerd/errors.py.
A message says what, which id, why and what to do; texts that clients match are Docker's own.
"""


class EngineError(Exception):
    """Root of the table; `code` is the gRPC status it travels as."""

    code = 2
    suffix = ""


class Unknown(EngineError):
    """Something failed that nobody classified."""


class Canceled(EngineError):
    code = 1


class InvalidArgument(EngineError):
    code = 3


class DeadlineExceeded(EngineError):
    code = 4


class NotFound(EngineError):
    code = 5


class AlreadyExists(EngineError):
    code = 6


class PermissionDenied(EngineError):
    code = 7


class Unauthenticated(EngineError):
    code = 16


class ResourceExhausted(EngineError):
    code = 8


class FailedPrecondition(EngineError):
    code = 9


class Conflict(FailedPrecondition):
    """The object is in a state that forbids the request; another request may change that."""

    suffix = ": conflict"


class NotModified(FailedPrecondition):
    """The object is in the state that was asked for."""

    suffix = ": not modified"


class Aborted(EngineError):
    code = 10


class OutOfRange(EngineError):
    code = 11


class Unimplemented(EngineError):
    code = 12


class Internal(EngineError):
    code = 13


class Unavailable(EngineError):
    code = 14


class DataLoss(EngineError):
    code = 15


_BY_CODE: dict[int, type[EngineError]] = {
    kind.code: kind
    for kind in (
        Unknown, Canceled, InvalidArgument, DeadlineExceeded, NotFound, AlreadyExists, PermissionDenied,
        Unauthenticated, ResourceExhausted, FailedPrecondition, Aborted, OutOfRange, Unimplemented, Internal,
        Unavailable, DataLoss,
    )
}


def to_grpc(error: EngineError) -> tuple[int, str]:
    """Status and details an error travels as."""
    return error.code, str(error) + error.suffix


def from_grpc(code: int, details: str) -> EngineError:
    """The error that `to_grpc` turned into this status; foreign servers' statuses map by code alone."""
    for kind in (Conflict, NotModified):
        if code == kind.code and details.endswith(kind.suffix):
            return kind(details.removesuffix(kind.suffix))
    return _BY_CODE.get(code, Unknown)(details)
