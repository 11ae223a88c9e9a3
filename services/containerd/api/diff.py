"""containerd.services.diff.v1.Diff: the wire of diff/differ.py."""

from typing import Any

from protos.containerd.services.diff.v1 import diff_pb2 as pb
from protos.containerd.services.diff.v1.diff_pb2_grpc import DiffServicer
from protos.rpc import lease_var, require_namespace
from services.containerd.diff.differ import Comparison, Differ


class DiffService(DiffServicer):
    def __init__(self, differ: Differ) -> None:
        self._differ = differ

    async def Apply(self, request: pb.ApplyRequest, context: Any) -> pb.ApplyResponse:
        applied = await self._differ.apply(require_namespace(), request.diff, request.mounts, sync=request.sync_fs)
        return pb.ApplyResponse(applied=applied)

    async def Diff(self, request: pb.DiffRequest, context: Any) -> pb.DiffResponse:
        wanted = Comparison(request.left, request.right, request.media_type, request.ref, dict(request.labels))
        return pb.DiffResponse(diff=await self._differ.compare(require_namespace(), wanted, lease_var.get()))
