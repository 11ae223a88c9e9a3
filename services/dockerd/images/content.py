"""Bytes into and out of docker-containerd's content store, in messages of 1 MiB."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

from grpc import aio

from protos import channel, errdefs
from protos.containerd.services.content.v1 import content_pb2
from protos.containerd.services.leases.v1 import leases_pb2
from services.dockerd.images.manifest import LIMIT, Descriptor
from services.dockerd.remote.client import Client

CHUNK: Final = 1 << 20
_UNLOCK: Final = 40
"""Times that an ingest is asked for while its last writer's cancelled call still holds it."""


async def read(client: Client, digest: str, limit: int = LIMIT) -> bytes:
    """A small blob as a whole; InvalidArgument where it is larger than `limit` bytes."""
    parts: list[bytes] = []
    total = 0
    async for piece in pieces(client, digest):
        total += len(piece)
        if total > limit:
            raise errdefs.InvalidArgument(f"content {digest} is larger than {limit} bytes")
        parts.append(piece)
    return b"".join(parts)


async def write(
    client: Client,
    ref: str,
    data: AsyncIterable[bytes],
    *,
    lease: str,
    expected: str = "",
    labels: dict[str, str] | None = None,
) -> tuple[str, int]:
    """Ingest a stream; its digest and size. Content that is there already is not an error."""
    call = client.content.Write(metadata=channel.metadata(client.namespace, lease))
    digest, size = hashlib.sha256(), 0
    try:
        async for chunk in data:
            digest.update(chunk)
            piece = content_pb2.WriteContentRequest(action=content_pb2.WRITE, ref=ref, offset=size, data=chunk)
            await _say(call, piece)
            size += len(chunk)
        found = "sha256:" + digest.hexdigest()
        if expected and found != expected:
            raise errdefs.InvalidArgument(f"content of {ref} has digest {found}, not {expected}")
        commit = content_pb2.WriteContentRequest(
            action=content_pb2.COMMIT, ref=ref, total=size, offset=size, expected=found, labels=labels or {}
        )
        await _say(call, commit)
    except errdefs.AlreadyExists:
        found = "sha256:" + digest.hexdigest()
        if labels:
            await label(client, found, labels)
    except BaseException:
        call.cancel()
        await _abort(client, ref)
        raise
    return found, size


class Ingest:
    """One blob on its way in, known by its digest from the start, which docker-containerd verifies.

    A second try goes on where the first broke off. AlreadyExists from `open` and `commit` where the blob is there.
    """

    def __init__(self, client: Client, wanted: Descriptor, lease: str) -> None:
        self._client = client
        self._wanted = wanted
        self._lease = lease
        self._ref = _ref(wanted)
        self._call = self._begin()
        self.offset = 0

    def _begin(self) -> "aio.StreamStreamCall[content_pb2.WriteContentRequest, content_pb2.WriteContentResponse]":
        return self._client.content.Write(metadata=channel.metadata(self._client.namespace, self._lease))

    async def open(self) -> None:
        wanted = self._wanted
        request = content_pb2.WriteContentRequest(
            action=content_pb2.STAT, ref=self._ref, total=wanted.size, expected=wanted.digest
        )
        for left in range(_UNLOCK, 0, -1):
            try:
                self.offset = (await _say(self._call, request)).offset
                return
            except errdefs.Unavailable:
                if left == 1:
                    raise
                await asyncio.sleep(0.05)
                self._call = self._begin()

    async def write(self, data: bytes) -> None:
        await _say(self._call, content_pb2.WriteContentRequest(
            action=content_pb2.WRITE, ref=self._ref, offset=self.offset, data=data
        ))
        self.offset += len(data)

    async def commit(self, labels: dict[str, str]) -> None:
        wanted = self._wanted
        await _say(self._call, content_pb2.WriteContentRequest(
            action=content_pb2.COMMIT, ref=self._ref, total=wanted.size, offset=self.offset, expected=wanted.digest,
            labels=labels,
        ))

    def close(self) -> None:
        """Leave what was written for another try."""
        self._call.cancel()


async def forget(client: Client, wanted: Descriptor) -> None:
    """Drop what was written of a blob that nobody wants any more."""
    await _abort(client, _ref(wanted))


def _ref(wanted: Descriptor) -> str:
    return f"pull-{wanted.digest}"


async def _abort(client: Client, ref: str) -> None:
    for _ in range(_UNLOCK):
        try:
            await client.call(client.content.Abort, content_pb2.AbortRequest(ref=ref))
        except errdefs.Unavailable:
            await asyncio.sleep(0.05)  # the call that wrote it is not seen to be cancelled yet
        except errdefs.EngineError:
            return  # nothing was ingested, or docker-containerd is gone and sweeps it at its start
        else:
            return


async def _say(
    call: aio.StreamStreamCall[content_pb2.WriteContentRequest, content_pb2.WriteContentResponse],
    request: content_pb2.WriteContentRequest,
) -> content_pb2.WriteContentResponse:
    try:
        await call.write(request)
        reply = await call.read()
        if isinstance(reply, content_pb2.WriteContentResponse):
            return reply
        raise errdefs.from_grpc((await call.code()).value[0], await call.details())
    except aio.AioRpcError as error:
        raise errdefs.from_grpc(error.code().value[0], error.details() or "") from error


async def write_bytes(
    client: Client, data: bytes, *, lease: str, labels: dict[str, str] | None = None
) -> tuple[str, int]:
    """Ingest a small document under its own digest."""

    async def parts() -> AsyncIterable[bytes]:
        for start in range(0, len(data), CHUNK):
            yield data[start : start + CHUNK]

    ref = f"document-{secrets.token_hex(8)}"  # two may write the same at once
    return await write(client, ref, parts(), lease=lease, labels=labels)


async def label(client: Client, digest: str, labels: dict[str, str]) -> None:
    """Set labels of content that is there."""
    request = content_pb2.UpdateRequest(info=content_pb2.Info(digest=digest, labels=labels))
    request.update_mask.paths.extend(f"labels.{key}" for key in labels)
    await client.call(client.content.Update, request)


async def pieces(client: Client, digest: str, *, length: int = 0) -> AsyncIterator[bytes]:
    """A blob's bytes as they are read, `length` of them where given."""
    request = content_pb2.ReadContentRequest(digest=digest, size=length)
    async for reply in client.stream(client.content.Read, request):
        yield reply.data


async def info(client: Client, digest: str) -> content_pb2.Info:
    return (await client.call(client.content.Info, content_pb2.InfoRequest(digest=digest))).info


async def labels(client: Client, digest: str) -> dict[str, str]:
    return dict((await info(client, digest)).labels)


async def keep(client: Client, lease: str, digest: str) -> bool:
    """Hold content if it is there; whether it is."""
    try:
        await hold(client, lease, digest)
        await info(client, digest)
    except errdefs.NotFound:
        return False
    return True


async def hold(client: Client, lease: str, digest: str) -> None:
    """Have a lease keep content that is there."""
    resource = leases_pb2.Resource(id=digest, type="content")
    await client.call(client.leases.AddResource, leases_pb2.AddResourceRequest(id=lease, resource=resource))
