"""How an exec gets to run: registered with its shim when it is made, so that its start is one call.

While the start is under way the client's socket is with the owner of the streams already: it was sent there first.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protos import errdefs
from protos.streams.v1 import streams_pb2
from services.dockerd.container.container import Container
from services.dockerd.engine import attach, document, runtimes, streams, tasks
from services.dockerd.engine.engine import Engine
from services.dockerd.engine.records import Exec
from services.dockerd.network.sandbox import Sandbox
from services.dockerd.oci import spec

log = logging.getLogger("exec")


class Guest:
    """The client of an exec: its socket, and a duplicate by which a failure can still be told."""

    def __init__(self, sock: socket.socket, unread: bytes) -> None:
        self.socket = sock
        self.unread = unread
        self._voice = sock.dup()

    def tell(self, text: str, *, framed: bool) -> None:
        data = text.encode() + b"\r\n"
        header = b"\x01\0\0\0" + len(data).to_bytes(4, "big") if framed else b""
        with contextlib.suppress(OSError):  # the client has gone
            self._voice.send(header + data)

    def close(self) -> None:
        self.socket.close()
        self._voice.close()


@dataclass(frozen=True, slots=True)
class Registered:
    """What the shim knows of an exec that has not started."""

    stdio: streams.Stdio
    console: tuple[int, int]


async def prepare(engine: Engine, subject: Exec, container: Container) -> None:
    """Register it ahead of its start, which tells what fails here: it tries again.

    Not where that would start a process, as it does beside a shim that is not ours.
    """
    if runtimes.of(engine, container).foreign:
        return
    try:
        await _register(engine, subject, container)
    except errdefs.EngineError as error:
        log.debug("exec not prepared exec=%s error=%s", subject.id[:12], error)
    finally:
        if subject.registered is None:
            streams.discard(engine, subject.id)


def drop(engine: Engine, subject: Exec) -> None:
    """It will never start."""
    if subject.preparing:
        subject.preparing.cancel()
    streams.discard(engine, subject.id)


async def _register(engine: Engine, subject: Exec, container: Container) -> Registered:
    process, console = await _process(engine, subject, container), subject.console
    config = streams_pb2.Config(
        container_id=container.id, exec_id=subject.id, tty=subject.tty, open_stdin=subject.stdin,
        stdin_once=True, log_driver="none")
    stdio = await streams.publish(engine, config, foreign=runtimes.of(engine, container).foreign)
    await tasks.execute(engine, container.id, subject.id, stdio, process, tty=subject.tty)
    known = subject.registered = Registered(stdio, console)
    return known


async def _process(engine: Engine, subject: Exec, container: Container) -> dict[str, Any]:
    user = await document.identity(engine, container, subject.user or container.config.User)
    nowhere = Sandbox(container.id, "", Path(), Path(), Path())  # an exec joins what its container has
    given = document.describe(engine, container, nowhere, (), user)
    return spec.process(given, spec.ExecInput(
        args=subject.cmd, user=user, env=subject.env, cwd=subject.workdir, tty=subject.tty,
        privileged=subject.privileged, console=subject.console))


async def _registered(engine: Engine, subject: Exec, container: Container) -> Registered:
    if subject.preparing is None:
        return await _register(engine, subject, container)
    await asyncio.wait([subject.preparing])
    known: Registered | None = subject.registered
    if known and known.console == subject.console:
        return known
    with contextlib.suppress(errdefs.EngineError):  # it failed half-way, or the start asks for another size
        await tasks.delete_exec(engine, container.id, subject.id)
    return await _register(engine, subject, container)


async def launch(
    engine: Engine, subject: Exec, container: Container, guest: Guest | None
) -> list[streams.Connection]:
    """Start it; the connections by which its client's end will be told.

    Our shim takes the client, who is sent first, before it starts anything. An owner of its own may not.
    """
    stdio = (await _registered(engine, subject, container)).stdio
    connections = []
    if guest:
        connections.append(await _offer(engine, subject, guest, stdin=not stdio.stdin))
    apart = runtimes.of(engine, container).foreign
    subject.started_at = time.time_ns()
    try:
        if guest and apart:
            await streams.accepted(connections[0], subject.id)
        pid = await tasks.start(engine, container.id, subject.id)
        if guest and not apart:
            await streams.accepted(connections[0], subject.id)
    except BaseException:
        for each in connections:
            each.close()
        raise
    subject.stream = connections[0] if guest else None
    if stdio.stdin:  # from here on somebody reads the fifo, and what is written into it is not lost
        await tasks.release_stdin(engine, container.id, subject.id)
        if guest:
            connections.append(await _offer(engine, subject, guest, stdin=True, output=False))
            await streams.accepted(connections[-1], subject.id)
    runs(subject, pid)
    return connections


async def _offer(
    engine: Engine, subject: Exec, guest: Guest, *, stdin: bool, output: bool = True
) -> streams.Connection:
    wish = streams_pb2.Attach(
        stdin=subject.stdin and stdin, stdout=subject.stdout and output, stderr=subject.stderr and output, stream=True,
        multiplexed=not subject.tty, unread=guest.unread if stdin else b"",
        detach_keys=attach.detach_keys(subject.detach_keys) if subject.tty else b"")
    return await streams.offer(engine, subject.id, wish, guest.socket.dup())


def runs(subject: Exec, pid: int) -> None:
    subject.pid = pid
    with contextlib.suppress(OSError):  # it may have ended already
        subject.pidfd = os.pidfd_open(pid)
