"""Content into a store that gives its file away, one that does not know of that, and one whose file is out of reach."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from protos import direct, errdefs
from protos.containerd.services.content.v1 import content_pb2 as pb
from protos.containerd.services.content.v1.content_pb2_grpc import ContentServicer, add_ContentServicer_to_server
from services.dockerd.images import content
from services.dockerd.images.ingest import Ingest
from services.dockerd.remote.client import Client

PIECES = [os.urandom(1 << 20) for _ in range(9)] + [b"end"]
WHOLE = b"".join(PIECES)
DIGEST = f"sha256:{hashlib.sha256(WHOLE).hexdigest()}"


class Store(ContentServicer):
    """One ingest; `told` is the path that is answered to who asks for it, none where the question is not known."""

    def __init__(self, file: Path, told: str) -> None:
        self.file = file
        self.told = told
        self.received = 0
        """Bytes that came in messages."""
        self.committed = ""
        file.touch()

    async def Write(self, requests: Any, context: Any) -> AsyncIterator[pb.WriteContentResponse]:
        if self.told and direct.HEADER in dict(context.invocation_metadata()):
            await context.send_initial_metadata(((direct.HEADER, self.told),))
        known = self.file.stat().st_size
        async for request in requests:
            if request.data:
                assert request.offset == known
                with self.file.open("ab") as out:
                    out.write(request.data)
                self.received += len(request.data)
            known = max(known, request.offset + len(request.data))
            digest = f"sha256:{hashlib.sha256(self.file.read_bytes()[:known]).hexdigest()}"
            if request.action == pb.COMMIT:
                assert request.expected in ("", digest)
                self.committed = digest
            yield pb.WriteContentResponse(action=request.action, offset=known, digest=digest)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ingest"


async def serving(store: Store) -> tuple[aio.Server, Client]:
    server = aio.server()
    add_ContentServicer_to_server(store, server)
    address = store.file.with_name("c.sock")
    server.add_insecure_port(f"unix://{address}")
    await server.start()
    return server, Client(str(address))


def written(store: Store, *, expected: str = "") -> tuple[str, int]:
    async def data() -> AsyncIterator[bytes]:
        for piece in PIECES:
            yield piece

    async def main() -> tuple[str, int]:
        server, client = await serving(store)
        try:
            return await content.write(client, "ref", data(), lease="", expected=expected)
        finally:
            await client.close()
            await server.stop(None)

    return asyncio.run(main())


def test_bytes_go_into_the_file_that_is_told(file: Path) -> None:
    store = Store(file, str(file))
    assert written(store) == (DIGEST, len(WHOLE))
    assert (store.committed, store.received) == (DIGEST, 0)
    assert file.read_bytes() == WHOLE


@pytest.mark.parametrize("told", ["", "/nowhere/ingest"], ids=["another make", "another mount namespace"])
def test_bytes_go_in_messages_where_there_is_no_file(file: Path, told: str) -> None:
    store = Store(file, told)
    assert written(store) == (DIGEST, len(WHOLE))
    assert (store.committed, store.received) == (DIGEST, len(WHOLE))
    assert file.read_bytes() == WHOLE


@pytest.mark.parametrize("direct", [True, False])
def test_digest_is_verified_before_it_is_committed(file: Path, direct: bool) -> None:
    store = Store(file, str(file) if direct else "")
    with pytest.raises(errdefs.InvalidArgument, match="has digest"):
        written(store, expected="sha256:" + "0" * 64)
    assert not store.committed


@pytest.mark.parametrize("direct", [True, False])
def test_what_is_there_is_gone_on_with(file: Path, direct: bool) -> None:
    async def main() -> str:
        store = Store(file, str(file) if direct else "")
        file.write_bytes(WHOLE[: 3 << 20])
        server, client = await serving(store)
        ingest = Ingest(client, "ref", "", expected=DIGEST, total=len(WHOLE))
        try:
            await ingest.open()
            assert (ingest.offset, ingest.hashed) == (3 << 20, direct)
            for piece in PIECES[3:]:
                await ingest.write(piece)
            return await ingest.commit({})
        finally:
            await ingest.close()
            await client.close()
            await server.stop(None)

    assert asyncio.run(main()) == DIGEST
    assert file.read_bytes() == WHOLE


def test_full_disk_is_told(file: Path) -> None:
    """A write goes on while the next piece is got: its failure is the next write's, or the commit's."""
    async def main() -> None:
        store = Store(file, "/dev/full")
        server, client = await serving(store)
        ingest = Ingest(client, "ref", "")
        try:
            await ingest.open()
            await ingest.write(PIECES[0])
            with pytest.raises(errdefs.ResourceExhausted, match="No space left on device"):
                await ingest.commit({})
        finally:
            await ingest.close()
            await client.close()
            await server.stop(None)
        assert not store.committed

    asyncio.run(main())
