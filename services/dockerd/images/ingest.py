"""One blob on its way into docker-containerd's content store: by its file where it gives that away, else in messages.

A file is written by threads while docker-containerd hashes what it was told of; one message tells of several pieces.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable
from typing import Final, TypeVar

from grpc import aio

from protos import channel, direct, errdefs
from protos.containerd.services.content.v1 import content_pb2 as pb
from services.dockerd.remote.client import Client

UNLOCK: Final = 40
"""Times that an ingest is asked for while its last writer's cancelled call still holds it."""
_TOLD: Final = 4 << 20
"""Bytes written into the file from one message to the next."""

T = TypeVar("T")


class Ingest:
    """A context; what was written stays for the next of that ref unless it is committed or aborted.

    A ref that was begun before goes on at `offset`. AlreadyExists from `open` and `commit` where the blob is there.
    """

    def __init__(self, client: Client, ref: str, lease: str, *, expected: str = "", total: int = 0) -> None:
        self._client = client
        self._ref = ref
        self._lease = lease
        self._expected = expected
        self._total = total
        self._call = self._begin()
        self._file = -1
        self._told = 0
        self._telling: asyncio.Task[pb.WriteContentResponse] | None = None
        self._writing: asyncio.Future[None] | None = None
        """A thread that writes the piece before, while the caller gets the next."""
        self._end = 0
        """Bytes in the file; the piece that a thread is at does not count yet."""
        self.offset = 0

    def _begin(self) -> "aio.StreamStreamCall[pb.WriteContentRequest, pb.WriteContentResponse]":
        headers = (*channel.metadata(self._client.namespace, self._lease), (direct.HEADER, "1"))
        return self._client.content.Write(metadata=headers)

    @property
    def hashed(self) -> bool:
        """Whether docker-containerd is known to tell the digest when it commits, so that nobody else need hash."""
        return self._file >= 0

    async def open(self) -> None:
        request = pb.WriteContentRequest(
            action=pb.STAT, ref=self._ref, total=self._total, expected=self._expected
        )
        for left in range(UNLOCK, 0, -1):
            try:
                self.offset = self._end = self._told = (await self._say(request)).offset
                break
            except errdefs.Unavailable:
                if left == 1:
                    raise
                await asyncio.sleep(0.05)
                self._call = self._begin()
        headers = dict(await self._call.initial_metadata() or ())
        if path := headers.get(direct.HEADER):
            with contextlib.suppress(OSError):  # it lives in another mount namespace
                self._file = os.open(str(path), os.O_WRONLY | os.O_CLOEXEC)

    async def write(self, data: bytes) -> None:
        if self._file < 0:
            await self._say(pb.WriteContentRequest(action=pb.WRITE, ref=self._ref, offset=self.offset, data=data))
            self.offset += len(data)
            return
        await self._written()
        if self._end - self._told >= _TOLD:
            await self._tell()
        self.offset += len(data)
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._append, data))

    async def _written(self) -> None:
        """Return once no thread writes any more; raises what the write failed for."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            await _finished(writing)

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._file, view, self._end)
                self._end += written
                view = view[written:]
        except OSError as error:
            raise errdefs.ResourceExhausted(f"cannot write content of {self._ref}: {error.strerror}") from error

    async def _tell(self) -> None:
        """Let docker-containerd hash what is new, once it is through with what it was told before."""
        if self._telling is not None:
            await self._telling
        self._told = self._end
        request = pb.WriteContentRequest(action=pb.WRITE, ref=self._ref, offset=self._end)
        self._telling = asyncio.create_task(self._say(request))

    async def _settle(self) -> None:
        """Return once docker-containerd knows of all that was written."""
        await self._written()
        if self._file >= 0 and self._told < self._end:
            await self._tell()
        if self._telling is not None:
            await self._telling
            self._telling = None

    async def commit(self, labels: dict[str, str], expected: str = "") -> str:
        """Verify and publish; the digest as docker-containerd has it."""
        await self._settle()
        reply = await self._say(pb.WriteContentRequest(
            action=pb.COMMIT, ref=self._ref, total=self._total or self.offset, offset=self.offset,
            expected=expected or self._expected, labels=labels,
        ))
        return reply.digest

    async def digest(self) -> str:
        """Of all that was written."""
        await self._settle()
        return (await self._say(pb.WriteContentRequest(action=pb.STAT, ref=self._ref))).digest

    async def close(self) -> None:
        """Leave what was written for another try."""
        try:
            with contextlib.suppress(errdefs.ResourceExhausted):  # who closes after a failure knows of it
                await self._written()
        finally:
            if self._telling is not None:
                self._telling.cancel()
            self._call.cancel()
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    async def _say(self, request: pb.WriteContentRequest) -> pb.WriteContentResponse:
        try:
            await self._call.write(request)
            reply = await self._call.read()
            if isinstance(reply, pb.WriteContentResponse):
                return reply
            raise errdefs.from_grpc((await self._call.code()).value[0], await self._call.details())
        except aio.AioRpcError as error:
            raise errdefs.from_grpc(error.code().value[0], error.details() or "") from error


async def _finished(work: Awaitable[T]) -> T:
    """The result of a thread's work, for whose end a cancellation waits: its file may be closed after it only."""
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
