"""Bytes into and out of docker-containerd's content store, in messages of 1 MiB."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

from protos import errdefs
from protos.containerd.services.content.v1 import content_pb2
from protos.containerd.services.leases.v1 import leases_pb2
from services.dockerd.images.ingest import UNLOCK, Ingest
from services.dockerd.images.manifest import LIMIT, Descriptor
from services.dockerd.remote.client import Client

CHUNK: Final = 1 << 20


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
    ingest, own = Ingest(client, ref, lease), hashlib.sha256()
    try:
        await ingest.open()
        async for chunk in data:
            await ingest.write(chunk)
            if not ingest.hashed:
                own.update(chunk)
        found = await ingest.digest() if ingest.hashed else "sha256:" + own.hexdigest()
        if expected and found != expected:
            raise errdefs.InvalidArgument(f"content of {ref} has digest {found}, not {expected}")
        try:
            await ingest.commit(labels or {}, found)
        except errdefs.AlreadyExists:
            if labels:
                await label(client, found, labels)
    except BaseException:
        await ingest.close()
        await abort(client, ref)
        raise
    await ingest.close()
    return found, ingest.offset


def fetching(client: Client, wanted: Descriptor, lease: str) -> Ingest:
    """The ingest of a blob that is known by its digest from the start, which docker-containerd verifies."""
    return Ingest(client, _ref(wanted), lease, expected=wanted.digest, total=wanted.size)


async def forget(client: Client, wanted: Descriptor) -> None:
    """Drop what was written of a blob that nobody wants any more."""
    await abort(client, _ref(wanted))


def _ref(wanted: Descriptor) -> str:
    return f"pull-{wanted.digest}"


async def abort(client: Client, ref: str) -> None:
    """Drop what was written under a ref."""
    for _ in range(UNLOCK):
        try:
            await client.call(client.content.Abort, content_pb2.AbortRequest(ref=ref))
        except errdefs.Unavailable:
            await asyncio.sleep(0.05)  # the call that wrote it is not seen to be cancelled yet
        except errdefs.EngineError:
            return  # nothing was ingested, or docker-containerd is gone and sweeps it at its start
        else:
            return


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


async def hold(client: Client, lease: str, name: str, kind: str = "content") -> None:
    """Have a lease keep content, or something of another kind, that is there."""
    resource = leases_pb2.Resource(id=name, type=kind)
    await client.call(client.leases.AddResource, leases_pb2.AddResourceRequest(id=lease, resource=resource))
