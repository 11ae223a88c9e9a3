"""containerd.services.introspection.v1.Introspection: what this daemon is made of, as `ctr plugins ls` shows it."""

import json
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from google.protobuf.empty_pb2 import Empty

from protos import errdefs, snapshots
from protos.containerd.services.introspection.v1 import introspection_pb2 as pb
from protos.containerd.services.introspection.v1.introspection_pb2_grpc import IntrospectionServicer
from protos.containerd.types.platform_pb2 import Platform
from services.containerd import filters
from services.containerd.snapshots.driver import Driver

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_SNAPSHOTTER: Final = "io.containerd.snapshotter.v1"
_METADATA: Final = "io.containerd.metadata.v1"
_SERVICES: Final = (
    "containers", "content", "diff", "events", "healthcheck", "images", "introspection", "leases", "namespaces",
    "snapshots", "tasks", "version",
)


def snapshotter_plugin(driver: Driver, *, chosen: bool) -> pb.Plugin:
    """A storage driver's row."""
    exports = {"root": str(driver.root), snapshots.STATUS: json.dumps(driver.status())}
    if chosen:
        exports[snapshots.DEFAULT] = driver.docker
    return pb.Plugin(
        type=_SNAPSHOTTER, id=driver.name, platforms=_here(), exports=exports,
        capabilities=["rebase"] if driver.rebases else [],
    )


def refused_plugin(name: str, reason: str) -> pb.Plugin:
    """The row of a storage driver that this machine cannot serve."""
    row = pb.Plugin(type=_SNAPSHOTTER, id=name, platforms=_here())
    row.init_err.code, row.init_err.message = errdefs.Unimplemented.code, f"{reason}: skip plugin"
    return row


def _here() -> list[Platform]:
    machine = os.uname().machine
    return [Platform(os="linux", architecture=_ARCHITECTURES.get(machine, machine))]


def plugins(content_root: str, snapshotters: Sequence[pb.Plugin]) -> list[pb.Plugin]:
    """One row for each part."""
    here = _here()
    rows = [pb.Plugin(type="io.containerd.content.v1", id="content", exports={"root": content_root}), *snapshotters]
    rows += [
        pb.Plugin(type=_METADATA, id="sqlite", requires=["io.containerd.content.v1", _SNAPSHOTTER]),
        pb.Plugin(type="io.containerd.gc.v1", id="scheduler", requires=[_METADATA]),
        pb.Plugin(type="io.containerd.differ.v1", id="walking", platforms=here, requires=[_METADATA]),
        pb.Plugin(type="io.containerd.event.v1", id="exchange"),
        pb.Plugin(type="io.containerd.runtime.v2", id="task", platforms=here, requires=[_METADATA]),
    ]
    rows += [pb.Plugin(type="io.containerd.grpc.v1", id=name) for name in _SERVICES]
    return rows


class IntrospectionService(IntrospectionServicer):
    def __init__(self, uuid: str, rows: Callable[[], Sequence[pb.Plugin]]) -> None:
        self._uuid = uuid
        self._rows = rows

    async def Plugins(self, request: pb.PluginsRequest, context: Any) -> pb.PluginsResponse:
        return pb.PluginsResponse(plugins=filters.select(self._rows(), request.filters, _field))

    async def Server(self, request: Empty, context: Any) -> pb.ServerResponse:
        return pb.ServerResponse(uuid=self._uuid, pid=os.getpid(), pidns=os.stat("/proc/self/ns/pid").st_ino)

    async def PluginInfo(self, request: pb.PluginInfoRequest, context: Any) -> pb.PluginInfoResponse:
        for row in self._rows():
            if (row.type, row.id) == (request.type, request.id):
                return pb.PluginInfoResponse(plugin=row)
        raise errdefs.NotFound(f"plugin {request.type}.{request.id}: not found")


def _field(plugin: pb.Plugin, path: list[str]) -> str | None:
    match path:
        case ["type"]:
            return plugin.type
        case ["id"]:
            return plugin.id
        case ["capabilities", name]:
            return name if name in plugin.capabilities else None
        case ["exports", name]:
            return plugin.exports.get(name)
    return None
