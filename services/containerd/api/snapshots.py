"""containerd.services.snapshots.v1.Snapshots: the wire of snapshots/snapshotter.py."""

from collections.abc import AsyncIterator
from typing import Any, Final

from google.protobuf.empty_pb2 import Empty

from protos.containerd.events import snapshot_pb2 as events
from protos.containerd.services.snapshots.v1 import snapshots_pb2 as pb
from protos.containerd.services.snapshots.v1.snapshots_pb2_grpc import SnapshotsServicer
from protos.rpc import lease_var, require_namespace
from services.containerd.collector import Collector
from services.containerd.events.exchange import Exchange
from services.containerd.snapshots.snapshotter import Snapshotter, choose

_BATCH: Final = 100


class SnapshotsService(SnapshotsServicer):
    def __init__(self, snapshotters: dict[str, Snapshotter], exchange: Exchange, collector: Collector) -> None:
        self._snapshotters = snapshotters
        self._exchange = exchange
        self._collector = collector

    def _choose(self, name: str) -> Snapshotter:
        return choose(self._snapshotters, name)

    async def Prepare(self, request: pb.PrepareSnapshotRequest, context: Any) -> pb.PrepareSnapshotResponse:
        namespace, chosen = require_namespace(), self._choose(request.snapshotter)
        mounts = await chosen.prepare(namespace, request.key, request.parent, dict(request.labels), lease_var.get())
        event = events.SnapshotPrepare(key=request.key, parent=request.parent, snapshotter=chosen.name)
        self._exchange.publish(namespace, "/snapshot/prepare", event)
        return pb.PrepareSnapshotResponse(mounts=mounts)

    async def View(self, request: pb.ViewSnapshotRequest, context: Any) -> pb.ViewSnapshotResponse:
        namespace, chosen = require_namespace(), self._choose(request.snapshotter)
        mounts = await chosen.view(namespace, request.key, request.parent, dict(request.labels), lease_var.get())
        event = events.SnapshotPrepare(key=request.key, parent=request.parent, snapshotter=chosen.name)
        self._exchange.publish(namespace, "/snapshot/prepare", event)
        return pb.ViewSnapshotResponse(mounts=mounts)

    async def Mounts(self, request: pb.MountsRequest, context: Any) -> pb.MountsResponse:
        return pb.MountsResponse(mounts=self._choose(request.snapshotter).mounts(require_namespace(), request.key))

    async def Commit(self, request: pb.CommitSnapshotRequest, context: Any) -> Empty:
        namespace, chosen = require_namespace(), self._choose(request.snapshotter)
        labels = dict(request.labels)
        await chosen.commit(namespace, request.key, request.name, labels, lease_var.get(), request.parent)
        event = events.SnapshotCommit(key=request.key, name=request.name, snapshotter=chosen.name)
        self._exchange.publish(namespace, "/snapshot/commit", event)
        return Empty()

    async def Remove(self, request: pb.RemoveSnapshotRequest, context: Any) -> Empty:
        namespace, chosen = require_namespace(), self._choose(request.snapshotter)
        chosen.remove(namespace, request.key)
        event = events.SnapshotRemove(key=request.key, snapshotter=chosen.name)
        self._exchange.publish(namespace, "/snapshot/remove", event)
        self._collector.deleted()
        return Empty()

    async def Stat(self, request: pb.StatSnapshotRequest, context: Any) -> pb.StatSnapshotResponse:
        info = self._choose(request.snapshotter).stat(require_namespace(), request.key)
        return pb.StatSnapshotResponse(info=info)

    async def Update(self, request: pb.UpdateSnapshotRequest, context: Any) -> pb.UpdateSnapshotResponse:
        chosen = self._choose(request.snapshotter)
        info = chosen.update(require_namespace(), request.info, request.update_mask.paths)
        return pb.UpdateSnapshotResponse(info=info)

    async def List(self, request: pb.ListSnapshotsRequest, context: Any) -> AsyncIterator[pb.ListSnapshotsResponse]:
        found = self._choose(request.snapshotter).select(require_namespace(), request.filters)
        for start in range(0, len(found), _BATCH):
            yield pb.ListSnapshotsResponse(info=found[start : start + _BATCH])

    async def Usage(self, request: pb.UsageRequest, context: Any) -> pb.UsageResponse:
        size, inodes = await self._choose(request.snapshotter).usage(require_namespace(), request.key)
        return pb.UsageResponse(size=size, inodes=inodes)

    async def Cleanup(self, request: pb.CleanupRequest, context: Any) -> Empty:
        require_namespace()
        await self._choose(request.snapshotter).cleanup()
        return Empty()
