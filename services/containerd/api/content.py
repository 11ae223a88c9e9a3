"""containerd.services.content.v1.Content: the wire of content/store.py."""

import os
from collections.abc import AsyncIterator
from typing import Any, Final

from google.protobuf.empty_pb2 import Empty

from protos import direct, errdefs, heap
from protos.containerd.events.content_pb2 import ContentCreate, ContentDelete
from protos.containerd.services.content.v1 import content_pb2 as pb
from protos.containerd.services.content.v1.content_pb2_grpc import ContentServicer
from protos.rpc import lease_var, require_namespace
from services.containerd import threads
from services.containerd.collector import Collector
from services.containerd.content.ingest import INLINE, Ingest
from services.containerd.content.store import ContentStore
from services.containerd.events.exchange import Exchange
from services.containerd.identifiers import check_digest
from services.containerd.metadata.labels import stamp

_BATCH: Final = 100
_PIECE: Final = 1 << 20


class ContentService(ContentServicer):
    def __init__(self, store: ContentStore, exchange: Exchange, collector: Collector) -> None:
        self._store = store
        self._exchange = exchange
        self._collector = collector

    async def Info(self, request: pb.InfoRequest, context: Any) -> pb.InfoResponse:
        return pb.InfoResponse(info=self._store.info(require_namespace(), check_digest(request.digest)))

    async def Update(self, request: pb.UpdateRequest, context: Any) -> pb.UpdateResponse:
        check_digest(request.info.digest)
        info = self._store.update(require_namespace(), request.info, request.update_mask.paths)
        return pb.UpdateResponse(info=info)

    async def List(self, request: pb.ListContentRequest, context: Any) -> AsyncIterator[pb.ListContentResponse]:
        found = self._store.select(require_namespace(), request.filters)
        for start in range(0, len(found), _BATCH):
            yield pb.ListContentResponse(info=found[start : start + _BATCH])

    async def Delete(self, request: pb.DeleteContentRequest, context: Any) -> Empty:
        namespace = require_namespace()
        self._store.delete(namespace, check_digest(request.digest))
        self._exchange.publish(namespace, "/content/delete", ContentDelete(digest=request.digest))
        self._collector.deleted()
        return Empty()

    async def Read(self, request: pb.ReadContentRequest, context: Any) -> AsyncIterator[pb.ReadContentResponse]:
        blob, info = self._store.open_blob(require_namespace(), check_digest(request.digest))
        try:
            if not 0 <= request.offset <= info.size or request.size < 0:
                raise errdefs.OutOfRange(f"read past object length {info.size} bytes")
            offset, end = request.offset, min(info.size, request.offset + (request.size or info.size))
            while offset < end:
                data = await _read(blob, min(end - offset, _PIECE), offset)
                if not data:
                    raise errdefs.DataLoss(f"content {request.digest} is shorter than its {info.size} bytes")
                yield pb.ReadContentResponse(offset=offset, data=data)
                offset += len(data)
        finally:
            os.close(blob)
            if info.size > _PIECE:
                heap.trim_soon()

    async def Status(self, request: pb.StatusRequest, context: Any) -> pb.StatusResponse:
        return pb.StatusResponse(status=self._store.status(require_namespace(), request.ref))

    async def ListStatuses(self, request: pb.ListStatusesRequest, context: Any) -> pb.ListStatusesResponse:
        return pb.ListStatusesResponse(statuses=self._store.statuses(require_namespace(), request.filters))

    async def Abort(self, request: pb.AbortRequest, context: Any) -> Empty:
        self._store.abort(require_namespace(), request.ref)
        return Empty()

    async def Write(
        self, requests: AsyncIterator[pb.WriteContentRequest], context: Any
    ) -> AsyncIterator[pb.WriteContentResponse]:
        """The first message names the ref, which is this stream's alone; a commit, or the client's end, is the last."""
        namespace = require_namespace()
        first = await anext(aiter(requests), None)
        if first is None or not first.ref:
            raise errdefs.InvalidArgument("first message must have a reference")
        ingest = await self._store.writer(namespace, first.ref, first.total, first.expected, lease_var.get())
        session = _Session(ingest, first.total, first.expected)
        try:
            if direct.HEADER in dict(context.invocation_metadata()):
                session.shared = True
                await context.send_initial_metadata(((direct.HEADER, str(ingest.path)),))
            yield await self._step(session, first)
            while not session.committed and (request := await anext(aiter(requests), None)) is not None:
                yield await self._step(session, request)
        finally:
            ingest.close()
            if ingest.offset > _PIECE:
                heap.trim_soon()

    async def _step(self, session: "_Session", request: pb.WriteContentRequest) -> pb.WriteContentResponse:
        namespace, ingest = session.ingest.row.namespace, session.ingest
        if request.expected:
            session.expected = check_digest(request.expected)
            if self._store.claim(namespace, session.expected, ingest.lease):
                self._store.abandon(ingest)
                raise errdefs.AlreadyExists(f"blob with expected digest {session.expected} exists: already exists")
        session.total = request.total or session.total
        if request.action == pb.STAT:
            return session.reply(request.action)
        await session.write(request)
        if request.action == pb.COMMIT:
            reply = session.reply(request.action)
            await ingest.commit(session.total, session.expected, dict(request.labels))
            session.committed = True
            event = ContentCreate(digest=reply.digest, size=ingest.offset)
            self._exchange.publish(namespace, "/content/create", event)
            return reply
        return session.reply(request.action)


class _Session:
    """What one Write stream said so far."""

    def __init__(self, ingest: Ingest, total: int, expected: str) -> None:
        self.ingest = ingest
        self.total = total
        self.expected = expected
        self.committed = False
        self.shared = False
        """Whether the client writes into the file itself."""

    async def write(self, request: pb.WriteContentRequest) -> None:
        """Add data at the offset it is meant for; offset 0 begins anew."""
        offset = self.ingest.offset
        if self.shared and request.offset > offset and not request.data:
            await threads.run(self.ingest.follow, request.offset)
            return
        if request.offset > 0 and request.offset != offset:
            raise errdefs.OutOfRange(f"write @{request.offset} must occur at current offset {offset}")
        if request.offset == 0 and offset > 0:
            self.ingest.restart()
        if request.data:
            await self.ingest.write(request.data)

    def reply(self, action: pb.WriteAction.ValueType) -> pb.WriteContentResponse:
        reply = pb.WriteContentResponse(action=action, offset=self.ingest.offset, digest=self.ingest.digest)
        if action == pb.STAT:
            reply.total = self.total
            reply.started_at.CopyFrom(stamp(self.ingest.row.started))
            reply.updated_at.CopyFrom(stamp(self.ingest.updated))
        return reply


async def _read(blob: int, size: int, offset: int) -> bytes:
    if size <= INLINE:
        return os.pread(blob, size, offset)
    return await threads.run(os.pread, blob, size, offset)
