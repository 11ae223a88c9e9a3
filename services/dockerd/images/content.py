"""Bytes into and out of docker-containerd's content store, in messages of 1 MiB."""

import hashlib
from collections.abc import AsyncIterable
from typing import Final

from grpc import aio

from protos import channel, errdefs
from protos.containerd.services.content.v1 import content_pb2
from services.dockerd.images.manifest import LIMIT
from services.dockerd.remote.client import Client

CHUNK: Final = 1 << 20


async def read(client: Client, digest: str, limit: int = LIMIT) -> bytes:
    """A small blob as a whole; InvalidArgument where it is larger than `limit` bytes."""
    parts: list[bytes] = []
    total = 0
    async for reply in client.stream(client.content.Read, content_pb2.ReadContentRequest(digest=digest)):
        total += len(reply.data)
        if total > limit:
            raise errdefs.InvalidArgument(f"content {digest} is larger than {limit} bytes")
        parts.append(reply.data)
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


async def _abort(client: Client, ref: str) -> None:
    try:
        await client.call(client.content.Abort, content_pb2.AbortRequest(ref=ref))
    except errdefs.EngineError:
        pass  # nothing was ingested, or docker-containerd is gone and sweeps it at its start


async def _say(
    call: aio.StreamStreamCall[content_pb2.WriteContentRequest, content_pb2.WriteContentResponse],
    request: content_pb2.WriteContentRequest,
) -> None:
    try:
        await call.write(request)
        if await call.read() is aio.EOF:
            raise errdefs.from_grpc((await call.code()).value[0], await call.details())
    except aio.AioRpcError as error:
        raise errdefs.from_grpc(error.code().value[0], error.details() or "") from error


async def write_bytes(
    client: Client, data: bytes, *, lease: str, labels: dict[str, str] | None = None
) -> tuple[str, int]:
    """Ingest a small document under its own digest."""

    async def pieces() -> AsyncIterable[bytes]:
        for start in range(0, len(data), CHUNK):
            yield data[start : start + CHUNK]

    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return await write(client, f"document-{digest}", pieces(), lease=lease, labels=labels)


async def label(client: Client, digest: str, labels: dict[str, str]) -> None:
    """Set labels of content that is there."""
    request = content_pb2.UpdateRequest(info=content_pb2.Info(digest=digest, labels=labels))
    request.update_mask.paths.extend(f"labels.{key}" for key in labels)
    await client.call(client.content.Update, request)
