"""containerd.services.version.v1.Version."""

from typing import Any

from google.protobuf.empty_pb2 import Empty

from protos.containerd.services.version.v1 import version_pb2 as pb
from protos.containerd.services.version.v1.version_pb2_grpc import VersionServicer
from services.containerd.config import REVISION, VERSION


class VersionService(VersionServicer):
    async def Version(self, request: Empty, context: Any) -> pb.VersionResponse:
        return pb.VersionResponse(version=VERSION, revision=REVISION)
