"""What an endpoint may ask of its request: the engine, the API version the client speaks."""

from typing import TYPE_CHECKING, cast

from services.dockerd.release import Version

if TYPE_CHECKING:
    from starlette.requests import Request

    from services.dockerd.engine.engine import Engine


def engine_of(request: "Request") -> "Engine":
    return cast("Engine", request.app.state.engine)


def version_of(request: "Request") -> Version:
    """The version in the request's path; the newest where the path has none."""
    return cast(Version, request.scope["version"])
