"""`attach`: the client's own socket goes to the owner of the container's streams; dockerd steps out of the way.

A client that attaches before the start waits in `Container.pending` and is handed over between create and start, so
that it misses nothing.
"""

import logging
import re
import socket
from dataclasses import dataclass
from typing import Final, Protocol

from protos import errdefs
from protos.streams.v1 import streams_pb2
from services.dockerd.container.container import Container
from services.dockerd.container.state import Status
from services.dockerd.engine import notify, streams
from services.dockerd.engine.engine import Engine

log = logging.getLogger("attach")

DEFAULT_KEYS: Final = b"\x10\x11"
"""ctrl-p ctrl-q."""


class Client(Protocol):
    """A hijacked connection, as web/hijack.py has it."""

    unread: bytes

    def detach(self) -> socket.socket: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What the client asked to be attached to."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    logs: bool = False
    stream: bool = False
    keys: bytes = DEFAULT_KEYS
    framed: bool = True
    """Without a tty, stdout and stderr are told apart by stdcopy's records."""


@dataclass(frozen=True, slots=True)
class Pending:
    client: Client
    wish: Wish


def detach_keys(text: str | None) -> bytes:
    """`ctrl-p,ctrl-q` as bytes; the default for none; InvalidArgument for what is no key."""
    if not text:
        return DEFAULT_KEYS
    keys = bytearray()
    for word in text.split(","):
        control = re.fullmatch(r"ctrl-([a-z@\[\\\]^_])", word.strip().lower())
        if control:
            keys.append(ord(control[1].upper()) & 0x1F)
        elif len(word) == 1 and ord(word) < 128:
            keys.append(ord(word))
        else:
            raise errdefs.InvalidArgument(f"Invalid detach keys ({text}) provided")
    return bytes(keys)


def check(engine: Engine, reference: str) -> Container:
    """The container, if it can be attached to now. Before the connection is hijacked: later no error can be told."""
    container = engine.containers.get(reference)
    if container.state.status is Status.PAUSED:
        raise errdefs.Conflict(f"container {container.id} is paused, unpause the container before attach")
    if container.state.status is Status.RESTARTING:
        raise errdefs.Conflict(f"container {container.id} is restarting, wait until the container is running")
    return container


async def attach(engine: Engine, container: Container, client: Client, wish: Wish) -> None:
    """Attach now, or at the start that comes; returns at once."""
    notify.container(engine, container, "attach")
    if container.state.running and not container.starting:
        await hand_over(engine, container, Pending(client, wish))
    elif wish.stream:
        container.pending.append(Pending(client, wish))
    else:
        client.close()


async def hand_over(engine: Engine, container: Container, waiting: Pending) -> None:
    """Give one client to the owner of the streams; a client that cannot be served is dropped."""
    wish = waiting.wish
    request = streams_pb2.Attach(
        stdin=wish.stdin and container.config.OpenStdin, stdout=wish.stdout, stderr=wish.stderr, logs=wish.logs,
        stream=wish.stream, multiplexed=wish.framed and not container.config.Tty,
        detach_keys=wish.keys if container.config.Tty else b"", unread=waiting.client.unread)
    try:
        connection = await streams.attach(engine, container.id, request, waiting.client.detach())
    except (errdefs.Unavailable, OSError) as error:
        log.warning("client not attached container=%s error=%s", container.short, error)
        return
    engine.spawn(_watch(engine, container, connection), f"attached {container.short}")


async def _watch(engine: Engine, container: Container, connection: streams.Connection) -> None:
    if await streams.ended(connection) == streams_pb2.DETACHED:
        notify.container(engine, container, "detach")


def drop(container: Container) -> None:
    """Let go of clients that wait for a start which does not come."""
    waiting, container.pending = container.pending, []
    for each in waiting:
        each.client.close()
