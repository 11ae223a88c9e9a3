"""What an endpoint may ask of its request: the engine, the API version the client speaks."""

from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from starlette.requests import Request

    from services.dockerd.engine.engine import Engine

Version = tuple[int, int]
"""An API version, as (1, 47); compares as it should."""

NEWEST: Final[Version] = (1, 51)
OLDEST: Final[Version] = (1, 24)


def engine_of(request: "Request") -> "Engine":
    return cast("Engine", request.app.state.engine)


def version_of(request: "Request") -> Version:
    """The version in the request's path; the newest where the path has none."""
    return cast(Version, request.scope["version"])
