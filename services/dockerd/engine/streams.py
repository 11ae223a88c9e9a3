"""The owner of a process's streams, seen from dockerd: its configuration file, and clients' sockets given to it.

The bytes themselves never pass through here. Protocol: protos/streams/v1/streams.proto.
"""

import asyncio
import functools
import hashlib
import os
import select
import shutil
import socket
import sys
from pathlib import Path
from typing import Final
from urllib.parse import quote

from google.protobuf import json_format

from protos import errdefs
from protos.streams.v1 import streams_pb2
from services.dockerd.engine.engine import Engine

_DEADLINE: Final = 10.0
_PACKET: Final = 256 << 10


@functools.cache
def program() -> str:
    """Absolute path of docker-containerd-shim: beside this interpreter, or in PATH."""
    beside = Path(sys.executable).with_name("docker-containerd-shim")
    found = str(beside) if beside.exists() else shutil.which("docker-containerd-shim")
    if not found:
        raise errdefs.FailedPrecondition("docker-containerd-shim is neither beside the interpreter nor in PATH")
    return str(Path(found).absolute())


def directory(engine: Engine) -> Path:
    return engine.config.exec_root / "streams"


def socket_path(engine: Engine, identity: str) -> Path:
    """Where the owner of a container's or exec's streams listens; short, for the kernel takes 107 bytes."""
    return directory(engine) / hashlib.blake2s(identity.encode(), digest_size=10).hexdigest()


def publish(engine: Engine, config: streams_pb2.Config) -> str:
    """Write what the owner needs to know; the stdio URI for the task."""
    path = socket_path(engine, config.exec_id or config.container_id)
    config.socket = str(path)
    file = path.with_suffix(".json")
    file.write_text(json_format.MessageToJson(config, indent=None, preserving_proto_field_name=True))
    return f"binary://{program()}?streams={quote(str(file))}"


def discard(engine: Engine, identity: str) -> None:
    """Remove an ended process's files."""
    path = socket_path(engine, identity)
    path.unlink(missing_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)


def readable(fd: int) -> bool:
    """Whether something can be read from `fd`, or a pidfd's process has ended, now."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


class Connection:
    """One verb asked of the owner."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    async def reply(self) -> streams_pb2.Reply:
        data = await asyncio.get_running_loop().sock_recv(self._socket, _PACKET)
        return streams_pb2.Reply.FromString(data)

    @property
    def over(self) -> bool:
        """The last reply has been read, or waits to be."""
        return self._socket.fileno() < 0 or readable(self._socket.fileno())

    def close(self) -> None:
        self._socket.close()


async def _connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    sock.setblocking(False)
    try:
        async with asyncio.timeout(_DEADLINE):
            await asyncio.get_running_loop().sock_connect(sock, str(path))
    except (OSError, TimeoutError) as error:
        sock.close()
        raise errdefs.Unavailable(f"the streams of the process cannot be reached at {path}: {error}") from error
    return sock


async def attach(engine: Engine, identity: str, request: streams_pb2.Attach, client: socket.socket) -> Connection:
    """Give the client's socket to the owner and wait until it listens; ours is closed in any case."""
    try:
        sock = await _connect(socket_path(engine, identity))
        try:
            socket.send_fds(sock, [streams_pb2.Request(attach=request).SerializeToString()], [client.fileno()])
        except OSError:
            sock.close()
            raise
    finally:
        client.close()
    connection = Connection(sock)
    try:
        async with asyncio.timeout(_DEADLINE):
            reply = await connection.reply()
    except (OSError, TimeoutError) as error:
        connection.close()
        raise errdefs.Unavailable(f"the streams of {identity} do not answer: {error}") from error
    if reply.WhichOneof("answer") != "attached":
        connection.close()
        raise errdefs.Unavailable(f"the streams of {identity} refused a client: {reply.error or 'it has ended'}")
    return connection


async def ended(connection: Connection) -> streams_pb2.Reason.ValueType:
    """Wait until nothing more passes through the client's socket; why."""
    try:
        reply = await connection.reply()
    except OSError:
        return streams_pb2.EXITED
    finally:
        connection.close()
    return reply.ended.reason if reply.WhichOneof("answer") == "ended" else streams_pb2.EXITED


def make_directory(engine: Engine) -> None:
    """Make the directory, and refuse a root under which sockets would have too long a name."""
    path = directory(engine)
    if len(os.fsencode(path)) + 22 > 107:
        raise errdefs.InvalidArgument(f"the exec root {engine.config.exec_root} is too long: sockets below it "
                                      "would exceed the 107 bytes a unix socket's path may have")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
