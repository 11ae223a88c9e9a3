import logging

import pytest

from protos import errdefs
from services.dockerd import errors


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errdefs.InvalidArgument, 400), (errdefs.Unauthenticated, 401), (errdefs.PermissionDenied, 403),
        (errdefs.NotFound, 404), (errdefs.AlreadyExists, 409), (errdefs.Conflict, 409), (errdefs.NotModified, 304),
        (errdefs.Unimplemented, 501), (errdefs.Unavailable, 503), (errdefs.Internal, 500), (errdefs.Unknown, 500),
        (errdefs.DeadlineExceeded, 500), (errdefs.FailedPrecondition, 400), (ValueError, 500),
    ],
)
def test_class_decides_status(kind: type[Exception], status: int) -> None:
    assert errors.status(kind("x")) == status


def test_subclass_has_its_ancestors_status() -> None:
    class Gone(errdefs.NotFound):
        pass

    assert errors.status(Gone("x")) == 404
    assert errors.level(Gone("x")) == logging.DEBUG


def test_class_decides_level() -> None:
    assert errors.level(errdefs.Conflict("x")) == logging.INFO
    assert errors.level(errdefs.Unavailable("x")) == logging.WARNING
    assert errors.level(errdefs.DataLoss("x")) == logging.ERROR
