"""Both neighbours of a stream owner: the process whose pipes it has, and dockerd with a client's socket."""

import os
import socket
from pathlib import Path
from typing import Any

from protos.streams.v1 import streams_pb2
from services.shim.loop import Future, Loop


async def readable(loop: Loop, fd: int) -> None:
    ready: Future[None] = Future()
    loop.add_reader(fd, lambda: ready.set(None))
    try:
        await loop.timeout(ready, 30)
    finally:
        loop.remove(fd)


class Caller:
    """dockerd: a request, a client's socket beside it, and the replies."""

    def __init__(self, loop: Loop, path: str, request: streams_pb2.Request, descriptors: list[int]) -> None:
        self._loop = loop
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(path)
        socket.send_fds(self.socket, [request.SerializeToString()], descriptors)

    async def reply(self) -> streams_pb2.Reply:
        await readable(self._loop, self.socket.fileno())
        return streams_pb2.Reply.FromString(self.socket.recv(1 << 16))

    async def ended(self) -> bool:
        await readable(self._loop, self.socket.fileno())
        return self.socket.recv(1) == b""

    def close(self) -> None:
        self.socket.close()


class Attached:
    """A client: its own socket, of which the owner has the other end."""

    def __init__(self, loop: Loop, config: streams_pb2.Config, **attach: Any) -> None:
        self._loop = loop
        self.socket, theirs = socket.socketpair()
        request = streams_pb2.Attach(**{"stdout": True, "stderr": True, "stream": True} | attach)
        self.caller = Caller(loop, config.socket, streams_pb2.Request(attach=request), [theirs.fileno()])
        theirs.close()

    async def listening(self) -> "Attached":
        assert (await self.caller.reply()).WhichOneof("answer") == "attached"
        return self

    async def read(self, size: int) -> bytes:
        """Exactly so much, or what there is before the end."""
        got = b""
        while len(got) < size:
            await readable(self._loop, self.socket.fileno())
            data = self.socket.recv(size - len(got))
            if not data:
                break
            got += data
        return got

    async def rest(self) -> bytes:
        return await self.read(1 << 30)

    async def reason(self) -> "streams_pb2.Reason.ValueType":
        return (await self.caller.reply()).ended.reason

    def close(self) -> None:
        self.socket.close()
        self.caller.close()


class Process:
    """The far ends of a process's pipes."""

    def __init__(self, descriptors: tuple[int, int, int]) -> None:
        self.stdin, self.stdout, self.stderr = (os.dup(fd) for fd in descriptors)

    def exit(self) -> None:
        for fd in (self.stdin, self.stdout, self.stderr):
            os.close(fd)


def config(tmp_path: Path, **fields: Any) -> streams_pb2.Config:
    defaults = {"socket": str(tmp_path / "s"), "log_driver": "json-file", "log_path": str(tmp_path / "log")}
    return streams_pb2.Config(**defaults | fields)
