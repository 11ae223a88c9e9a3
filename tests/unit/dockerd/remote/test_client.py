"""A client whose docker-containerd goes away and comes back: a real gRPC server, ended and started again."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from grpc import aio

from protos.containerd.services.version.v1 import version_pb2
from protos.containerd.services.version.v1.version_pb2_grpc import VersionServicer, add_VersionServicer_to_server
from protos.errdefs import Unavailable
from services.dockerd.remote import client as module
from services.dockerd.remote.client import Client

HANGING = """
import os, sys, threading
from concurrent import futures
import grpc
tell = lambda word: os.write(int(sys.argv[2]), word)
def hang(request, context):
    tell(b"asked\\n")
    threading.Event().wait()
class All(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(hang)
server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[All()])
server.add_insecure_port("unix://" + sys.argv[1])
server.start()
tell(b"ready\\n")
server.wait_for_termination()
"""


class Versions(VersionServicer):
    async def Version(self, request: Any, context: Any) -> version_pb2.VersionResponse:
        return version_pb2.VersionResponse(version="1")


async def serve(path: Path, servicer: Versions) -> aio.Server:
    server = aio.server()
    add_VersionServicer_to_server(servicer, server)
    server.add_insecure_port(f"unix://{path}")
    await server.start()
    return server


async def end(server: aio.Server, path: Path) -> None:
    await server.stop(None)
    path.unlink(missing_ok=True)


def test_request_waits_for_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        path, servicer = tmp_path / "c.sock", Versions()
        client = Client(str(path))
        first = await serve(path, servicer)
        assert (await client.call(client.version.Version, Empty())).version == "1"
        await end(first, path)
        async with asyncio.timeout(10):
            await client.channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        waiting = asyncio.ensure_future(client.call(client.version.Version, Empty()))
        await asyncio.wait([waiting], timeout=0.3)
        assert not waiting.done()
        second = await serve(path, servicer)
        assert (await waiting).version == "1"
        await client.close()
        await end(second, path)

    asyncio.run(main())


def test_absence_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)

    async def main() -> None:
        client = Client(str(tmp_path / "c.sock"))
        with pytest.raises(Unavailable, match="it is being restarted"):
            await client.call(client.version.Version, Empty())
        await client.close()

    asyncio.run(main())


def test_call_cut_short_is_not_repeated(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "c.sock"
        reading, writing = os.pipe()
        program = [sys.executable, "-c", HANGING, str(path), str(writing)]
        server = await asyncio.create_subprocess_exec(*program, pass_fds=[writing])
        os.close(writing)
        with os.fdopen(reading) as words:
            assert await asyncio.to_thread(words.readline) == "ready\n"
            client = Client(str(path))
            waiting = asyncio.ensure_future(client.call(client.version.Version, Empty()))
            assert await asyncio.to_thread(words.readline) == "asked\n"
        server.kill()
        with pytest.raises(Unavailable, match="it ended during this request"):
            await waiting
        await client.close()
        await server.wait()

    asyncio.run(main())
