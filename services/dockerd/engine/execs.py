"""`exec`: further processes in a running container. Their records live as long as their container runs.

A record of a started exec lies under the exec root too, so that the next dockerd still knows its exit code.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import time
from pathlib import Path
from typing import Final

import orjson

from protos import errdefs
from protos.containerd.types.task import task_pb2
from protos.streams.v1 import streams_pb2
from services.dockerd.container.container import Container
from services.dockerd.container.state import Status
from services.dockerd.engine import attach, failures, launch, notify, streams, tasks
from services.dockerd.engine.engine import Engine
from services.dockerd.engine.records import Exec
from services.dockerd.engine.tasks import Exit

log = logging.getLogger("exec")

_GRACE: Final = 3.0
"""Seconds an inspect waits for the exit code of a process that has just ended."""
_KEPT: Final = 300.0
"""Seconds an ended exec can still be inspected."""


def find(engine: Engine, reference: str) -> Exec:
    found = engine.execs.get(reference)
    if found is None or found.container_id not in engine.containers:
        raise errdefs.NotFound(f"No such exec instance: {reference}")
    return found


def running(engine: Engine, reference: str) -> Container:
    """The container, if something can be executed in it now."""
    container = engine.containers.get(reference)
    if container.state.status is Status.PAUSED:
        raise errdefs.Conflict(
            f"container {container.id} is paused, unpause the container before exec")
    if container.state.status is Status.RESTARTING:
        raise errdefs.Conflict(f"Container {container.id} is restarting, wait until the container is running")
    if not container.state.running:
        raise errdefs.Conflict(f"container {container.id} is not running")
    return container


def create(engine: Engine, reference: str, made: Exec) -> Exec:
    """Register `made` (without ids) in a running container."""
    container = running(engine, reference)
    if not made.cmd:
        raise errdefs.InvalidArgument("No exec command specified")
    made.id, made.container_id = secrets.token_hex(32), container.id
    engine.execs[made.id] = made
    container.execs.add(made.id)
    _notify(engine, container, made, "exec_create: " + " ".join(made.cmd))
    made.preparing = engine.spawn(launch.prepare(engine, made, container), f"prepare exec {made.id[:12]}")
    return made


def _notify(
    engine: Engine, container: Container, subject: Exec, action: str, attributes: dict[str, str] | None = None,
    key: str = "",
) -> None:
    notify.container(engine, container, action, {"execID": subject.id, **(attributes or {})}, key=key)


def check_start(engine: Engine, reference: str) -> tuple[Exec, Container]:
    """The exec and its container, if it can be started now; before a connection is hijacked."""
    subject = find(engine, reference)
    if subject.exit_code is not None:
        raise errdefs.Conflict(f"exec command {subject.id} has already run")
    if subject.starting or subject.running:
        raise errdefs.Conflict(f"exec command {subject.id} is already running")
    return subject, running(engine, subject.container_id)


async def start(engine: Engine, subject: Exec, container: Container, client: attach.Client | None) -> None:
    """Run it; the client's socket, if one waits, is handed to the owner of its streams first.

    A failure is also written to the client, which has no other way to learn of it.
    """
    subject.starting = True
    _notify(engine, container, subject, "exec_start: " + " ".join(subject.cmd))
    guest = launch.Guest(client.detach(), client.unread) if client else None
    try:
        connections = await launch.launch(engine, subject, container, guest)
        _save(engine, subject)
        if subject.early:
            record(engine, container, subject.early)
    except errdefs.EngineError as error:
        failure = failures.of_exec(error)
        subject.exit_code, subject.starting = failure.code, False
        if guest:
            guest.tell(str(failure.error), framed=not subject.tty)
        await _failed(engine, subject, container)
        raise failure.error from error
    finally:
        subject.starting = False
        subject.begun.set()
        if guest:
            guest.close()
    for each in connections:
        _watch(engine, container, subject, each)


async def _failed(engine: Engine, subject: Exec, container: Container) -> None:
    _end(engine, container, subject)
    with contextlib.suppress(errdefs.EngineError):
        await tasks.delete_exec(engine, container.id, subject.id)


def _watch(engine: Engine, container: Container, subject: Exec, connection: streams.Connection) -> None:
    """Tell of a client that detaches by its keys."""

    async def wait() -> None:
        if await streams.ended(connection) == streams_pb2.DETACHED:
            _notify(engine, container, subject, "exec_detach")

    engine.spawn(wait(), f"attached exec {subject.id[:12]}")


async def resize(engine: Engine, reference: str, height: int, width: int) -> None:
    subject = find(engine, reference)
    await _begun(subject)
    if not subject.running:
        raise errdefs.Conflict(f"exec {subject.id} is not running")
    await tasks.resize(engine, subject.container_id, height, width, subject.id)


async def _begun(subject: Exec) -> None:
    """A start in progress gets a moment to succeed."""
    if subject.starting:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                await subject.begun.wait()


async def settled(subject: Exec) -> None:
    """Before an inspect: a process whose end its client has seen gets a moment for its exit code to arrive."""
    await _begun(subject)
    if subject.running and _visibly_ended(subject):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                await subject.ended.wait()


def _visibly_ended(subject: Exec) -> bool:
    """Its process is dead, or its stream over: the owner says so before it lets the client see the end."""
    dead = subject.pidfd < 0 or streams.readable(subject.pidfd)
    return dead or (subject.stream is not None and subject.stream.over)


def record(engine: Engine, container: Container, end: Exit) -> None:
    """Take note of an exec's exit."""
    subject = engine.execs.get(end.exec_id)
    if subject is None or subject.exit_code is not None:
        return
    if subject.starting and not subject.pid:
        subject.early = end
        return
    subject.exit_code = end.code
    key = f"{container.id}/{subject.id}/{end.pid}/{subject.started_at}"
    _notify(engine, container, subject, "exec_die", {"exitCode": str(end.code)}, key)
    _end(engine, container, subject)
    engine.spawn(_forget(engine, container, subject), f"forget exec {subject.id[:12]}")


def _end(engine: Engine, container: Container, subject: Exec) -> None:
    subject.ended.set()
    if subject.pidfd >= 0:
        os.close(subject.pidfd)
        subject.pidfd = -1
    container.execs.discard(subject.id)
    streams.discard(engine, subject.id)
    _path(engine, subject.id).unlink(missing_ok=True)


async def _forget(engine: Engine, container: Container, subject: Exec) -> None:
    with contextlib.suppress(errdefs.EngineError):
        await tasks.delete_exec(engine, container.id, subject.id)
    if not subject.probe:
        await asyncio.sleep(_KEPT)
    engine.execs.pop(subject.id, None)


def abandon(engine: Engine, container: Container) -> None:
    """The container has ended, and all its execs with it."""
    for each in list(container.execs):
        subject = engine.execs[each]
        if subject.pid:
            record(engine, container, Exit(container.id, each, subject.pid, 137, time.time_ns()))
        else:  # it has not started
            engine.execs.pop(each)
            container.execs.discard(each)
            launch.drop(engine, subject)


# across restarts of dockerd


def _path(engine: Engine, exec_id: str) -> Path:
    return engine.config.exec_root / "execs" / f"{exec_id}.json"


def _save(engine: Engine, subject: Exec) -> None:
    document = {
        "id": subject.id, "container_id": subject.container_id, "cmd": subject.cmd, "user": subject.user,
        "tty": subject.tty, "privileged": subject.privileged, "stdin": subject.stdin, "stdout": subject.stdout,
        "stderr": subject.stderr, "pid": subject.pid, "started_at": subject.started_at,
    }
    path = _path(engine, subject.id)
    path.with_suffix(".tmp").write_bytes(orjson.dumps(document))
    path.with_suffix(".tmp").replace(path)


def load(engine: Engine) -> None:
    """Read the execs that were running when dockerd ended."""
    directory = engine.config.exec_root / "execs"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in directory.glob("*.json"):
        try:
            document = orjson.loads(path.read_bytes())
            pid = document.pop("pid")
            subject = Exec(**document)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.error("exec not loaded path=%s error=%s", path, error)
            path.unlink(missing_ok=True)
            continue
        container = engine.containers.by_id(subject.container_id)
        if container is None:
            path.unlink(missing_ok=True)
            continue
        engine.execs[subject.id] = subject
        container.execs.add(subject.id)
        launch.runs(subject, pid)


async def compare(engine: Engine) -> None:
    """Find execs that ended while nobody listened."""
    for subject in list(engine.execs.values()):
        container = engine.containers.by_id(subject.container_id)
        if container is None or not subject.running:
            continue
        try:
            process = await tasks.get(engine, container.id, subject.id)
        except errdefs.NotFound:
            record(engine, container, Exit(container.id, subject.id, subject.pid, 137, time.time_ns()))
            continue
        if process.status == task_pb2.STOPPED:
            at = process.exited_at.ToNanoseconds()
            record(engine, container, Exit(container.id, subject.id, subject.pid, process.exit_status, at))

