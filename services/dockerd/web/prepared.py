"""GET /containers/json before the router: the engine keeps each entry encoded, the reply is their join."""

from typing import TYPE_CHECKING

from services.dockerd.engine import list as listing
from services.dockerd.filters import Filters
from services.dockerd.release import Version
from services.dockerd.web.query import FALSE

if TYPE_CHECKING:
    from services.dockerd.engine.engine import Engine

_IDLE = frozenset(("trunc_cmd=0", "limit=-1", "limit=0", "size=0", "size=false", ""))
"""Parameters that ask for nothing, as docker-py sends them."""


def containers(engine: "Engine", version: Version, query: str) -> bytes | None:
    """The list without filters, limits and sizes; None leaves the others to the router."""
    everything = False
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name == "all":
            everything = value not in FALSE
        elif part not in _IDLE:
            return None
    return listing.encoded(engine, listing.select(engine, Filters(), everything=everything))
