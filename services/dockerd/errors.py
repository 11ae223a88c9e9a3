"""Errors of `protos.errdefs` as HTTP: the one table of statuses, and the body `{"message": ...}`.

Classes look up their nearest ancestor, so that Conflict differs from the FailedPrecondition it is.
"""

import logging
from typing import Final

from protos import errdefs

STATUSES: Final[dict[type[Exception], int]] = {
    errdefs.InvalidArgument: 400,
    errdefs.OutOfRange: 400,
    errdefs.FailedPrecondition: 400,
    errdefs.Unauthenticated: 401,
    errdefs.PermissionDenied: 403,
    errdefs.NotFound: 404,
    errdefs.AlreadyExists: 409,
    errdefs.Conflict: 409,
    errdefs.NotModified: 304,
    errdefs.Unimplemented: 501,
    errdefs.Unavailable: 503,
}
"""What is not here is 500, as in Docker."""

LEVELS: Final[dict[type[Exception], int]] = {
    errdefs.NotFound: logging.DEBUG,
    errdefs.NotModified: logging.DEBUG,
    errdefs.PermissionDenied: logging.WARNING,
    errdefs.Unavailable: logging.WARNING,
    errdefs.Internal: logging.ERROR,
    errdefs.DataLoss: logging.ERROR,
    errdefs.Unknown: logging.ERROR,
}


def status(error: Exception) -> int:
    """The HTTP status an error is answered with."""
    return _nearest(STATUSES, error, 500)


def level(error: Exception) -> int:
    """The level an error is logged at, once, where it becomes a reply."""
    return _nearest(LEVELS, error, logging.INFO)


def _nearest(table: dict[type[Exception], int], error: Exception, default: int) -> int:
    return next((table[kind] for kind in type(error).__mro__ if kind in table), default)
