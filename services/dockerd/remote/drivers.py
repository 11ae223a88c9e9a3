"""Which storage driver is in use, and what it says of itself: asked of docker-containerd, or of another containerd."""

import json
from typing import Final

from protos import snapshots
from protos.containerd.services.introspection.v1 import introspection_pb2
from protos.containerd.services.introspection.v1.introspection_pb2 import Plugin
from protos.errdefs import EngineError, FailedPrecondition
from services.dockerd import storage
from services.dockerd.remote.client import Client

_KIND: Final = "io.containerd.snapshotter.v1"
_USUAL: Final = "overlayfs"
REBASE: Final = "rebase"
"""containerd's name for the capability to give a snapshot its parent when it is committed."""


async def choose(client: Client, told: str) -> Plugin:
    """The snapshotter of this engine. docker-containerd says which it serves as its own; another is told, and checked.

    `told` is Docker's name, or "". The answer's `id` is its name there.
    """
    rows = await _rows(client, f"type=={_KIND}")
    for row in rows:
        if snapshots.DEFAULT in row.exports:
            return row
    name = storage.snapshotter(told) or _USUAL
    found = next((row for row in rows if row.id == name), None)
    if found is None:
        raise FailedPrecondition(f"error initializing graphdriver: driver not supported: {told or name}")
    if found.HasField("init_err"):
        reason = found.init_err.message.removesuffix(": skip plugin")
        raise FailedPrecondition(f"error initializing graphdriver: driver not supported: {told or name}: {reason}")
    return found


async def status(client: Client, snapshotter: str) -> list[list[str]] | None:
    """Rows of `docker info`; None where it says nothing."""
    try:
        rows = await _rows(client, f"type=={_KIND},id=={snapshotter}")
    except EngineError:
        return None
    found = (json.loads(row.exports[snapshots.STATUS]) for row in rows if snapshots.STATUS in row.exports)
    return next(found, None) or None


async def _rows(client: Client, wanted: str) -> list[Plugin]:
    request = introspection_pb2.PluginsRequest(filters=[wanted])
    return list((await client.call(client.introspection.Plugins, request)).plugins)
