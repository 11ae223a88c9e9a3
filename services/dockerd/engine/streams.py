"""The owner of a process's streams, seen from dockerd: its configuration file, and clients' sockets given to it.

The bytes themselves never pass through here. Protocol: protos/streams/v1/streams.proto.
"""

import asyncio
import contextlib
import functools
import hashlib
import os
import select
import shlex
import shutil
import socket
import sys
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Stdio:
    """What a task is told to use: a URI for the owner, or the owner's fifos."""

    stdout: str
    stderr: str
    stdin: str = ""


async def publish(engine: Engine, config: streams_pb2.Config, *, foreign: bool) -> Stdio:
    """Write what the owner needs to know; the task's stdio.

    A shim that is not ours gives a `binary://` logger no stdin, and starts that of an exec too late to be attached to:
    there the owner is started here, with fifos.
    """
    path = socket_path(engine, config.exec_id or config.container_id)
    config.socket = str(path)
    file = path.with_suffix(".json")
    file.with_suffix(".error").unlink(missing_ok=True)
    file.write_text(json_format.MessageToJson(config, indent=None, preserving_proto_field_name=True))
    if not foreign or not (config.open_stdin or config.exec_id):
        uri = f"binary://{program()}?streams={quote(str(file))}"
        return Stdio(uri, "" if config.tty else uri)
    fifos = path.with_suffix(".fifos")
    await _start_owner(file, fifos)
    return Stdio(str(fifos / "stdout"), "" if config.tty else str(fifos / "stderr"),
                 str(fifos / "stdin") if config.open_stdin else "")


async def _start_owner(file: Path, fifos: Path) -> None:
    """Start an owner of its own; it goes into the background once it listens, and outlives dockerd."""
    command = [program(), "streams", str(file), str(fifos)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL, start_new_session=True)
    try:
        async with asyncio.timeout(_DEADLINE):
            code = await process.wait()
    except TimeoutError as error:
        process.kill()
        raise errdefs.Unavailable(f"{shlex.join(command)} is not ready after {_DEADLINE:g} s") from error
    if code != 0:
        _raise_error(file.with_suffix(".error"))
        raise errdefs.Unavailable(f"{shlex.join(command)} failed with code {code}")


def check(engine: Engine, identity: str) -> None:
    """Raise why an owner that a shim not ours has started is not there: containerd takes no notice of that."""
    _raise_error(socket_path(engine, identity).with_suffix(".error"))


def _raise_error(file: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        text = file.read_text()
        file.unlink()
        raise errdefs.Unknown(text)


def discard(engine: Engine, identity: str) -> None:
    """Remove an ended process's files."""
    path = socket_path(engine, identity)
    path.unlink(missing_ok=True)
    for suffix in (".json", ".error"):
        path.with_suffix(suffix).unlink(missing_ok=True)
    fifos = path.with_suffix(".fifos")
    if fifos.exists():
        _end_output(fifos)
        shutil.rmtree(fifos, ignore_errors=True)


def _end_output(fifos: Path) -> None:
    """An owner whose process never began has seen no writer, and so no end: let it see one come and go."""
    for name in ("stdout", "stderr"):
        with contextlib.suppress(OSError):  # nobody reads any more
            os.close(os.open(fifos / name, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))


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


async def offer(engine: Engine, identity: str, request: streams_pb2.Attach, client: socket.socket) -> Connection:
    """Give the client's socket to the owner, whose `accepted` is to be awaited; ours is closed in any case."""
    try:
        sock = await _connect(socket_path(engine, identity))
        try:
            socket.send_fds(sock, [streams_pb2.Request(attach=request).SerializeToString()], [client.fileno()])
        except OSError:
            sock.close()
            raise
    finally:
        client.close()
    return Connection(sock)


async def accepted(connection: Connection, identity: str) -> None:
    """Wait until the owner serves the client that was offered; the connection is closed where it does not."""
    try:
        async with asyncio.timeout(_DEADLINE):
            reply = await connection.reply()
    except (OSError, TimeoutError) as error:
        connection.close()
        raise errdefs.Unavailable(f"the streams of {identity} do not answer: {error}") from error
    if reply.WhichOneof("answer") != "attached":
        connection.close()
        raise errdefs.Unavailable(f"the streams of {identity} refused a client: {reply.error or 'it has ended'}")


async def attach(engine: Engine, identity: str, request: streams_pb2.Attach, client: socket.socket) -> Connection:
    """Give the client's socket to the owner and wait until it is served."""
    connection = await offer(engine, identity, request, client)
    await accepted(connection, identity)
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
