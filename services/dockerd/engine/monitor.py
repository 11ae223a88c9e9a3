"""What docker-containerd tells of tasks: exits, deaths by memory; and the comparison after every reconnect.

An event is never the only source: each time the subscription stands again, tasks are listed and differences told as
if their events had come.
"""

import asyncio
import contextlib
import logging
import time
from dataclasses import replace
from typing import Final

from protos import errdefs, typeurl
from protos.containerd.events import task_pb2 as events_pb2
from protos.containerd.types.event_pb2 import Envelope
from protos.containerd.types.task import task_pb2
from protos.containerd.types.task.task_pb2 import Process
from protos.log import container_var
from services.dockerd.container.container import Container
from services.dockerd.container.state import Status
from services.dockerd.engine import execs, exits, notify, save, tasks
from services.dockerd.engine.engine import Engine
from services.dockerd.engine.tasks import Exit
from services.dockerd.remote import events

log = logging.getLogger("monitor")

_TRIES: Final = 50
LOST: Final = 137
"""Exit code of a container whose end nobody saw."""


def start(engine: Engine) -> None:
    """Follow docker-containerd's events from now on. `restore.restore` compares the first time."""
    engine.follower = engine.spawn(
        events.follow(engine.client, lambda envelope: handle(engine, envelope), lambda: compare(engine)), "monitor")


def handle(engine: Engine, envelope: Envelope) -> None:
    """One event of a task."""
    if envelope.topic == "/tasks/exit":
        exited = events_pb2.TaskExit()
        if typeurl.to_message(envelope.event, exited):
            _exit(engine, Exit(
                exited.container_id, "" if exited.id == exited.container_id else exited.id, exited.pid,
                exited.exit_status, exited.exited_at.ToNanoseconds()))
    elif envelope.topic == "/tasks/oom":
        killed = events_pb2.TaskOOM()
        if typeurl.to_message(envelope.event, killed):
            _out_of_memory(engine, killed.container_id)


def _exit(engine: Engine, end: Exit) -> None:
    container = engine.containers.by_id(end.container_id)
    if container is None:
        return
    token = container_var.set(container.short)  # what follows it inherits that
    log.debug("exited exec=%s pid=%d code=%d", end.exec_id, end.pid, end.code)
    if end.exec_id:
        execs.record(engine, container, end)
    else:
        exits.record(engine, container, end)
    container_var.reset(token)


def _out_of_memory(engine: Engine, container_id: str) -> None:
    container = engine.containers.by_id(container_id)
    if container is None:
        return
    container.state = replace(container.state, oom_killed=True)
    save.save(engine, container)
    notify.container(engine, container, "oom")


async def compare(engine: Engine, *, adopt: bool = False) -> None:
    """Bring every container in line with the tasks there are. `adopt`: keep a running task that we do not know runs."""
    before = {each.id for each in engine.containers if each.state.running and not each.starting}
    found = {each.container_id or each.id: each for each in await tasks.listed(engine)}
    for container in engine.containers:
        task = found.pop(container.id, None)
        if container.starting:
            continue
        if task is None:
            if container.id in before and container.state.running:
                exits.record(engine, container, Exit(container.id, "", container.state.pid, LOST, time.time_ns()))
            continue
        await _compare(engine, container, task, adopt=adopt)
    for container_id in found.keys() - engine.store.kept():
        await _stray(engine, container_id)
    await execs.compare(engine)


async def _compare(engine: Engine, container: Container, task: Process, *, adopt: bool) -> None:
    status = task.status
    if status == task_pb2.UNKNOWN and container.state.running:
        return  # its shim does not answer; if that is dead, docker-containerd is about to tell so
    if status == task_pb2.STOPPED:
        end = Exit(container.id, "", task.pid, task.exit_status, task.exited_at.ToNanoseconds())
        if container.state.running:
            exits.record(engine, container, end)
        elif container.settled is None or container.settled.done():
            await _stray(engine, container.id)
    elif container.state.running:
        _take(engine, container, task)
    elif adopt and status in (task_pb2.RUNNING, task_pb2.PAUSED):
        container.state = container.state.started(task.pid, time.time_ns())
        container.started_before = True
        log.info("running task adopted container=%s pid=%d", container.short, task.pid)
        _take(engine, container, task)
    elif not container.lock.locked() and (container.settled is None or container.settled.done()):
        await _stray(engine, container.id)


def _take(engine: Engine, container: Container, task: Process) -> None:
    paused = task.status == task_pb2.PAUSED
    wanted = Status.PAUSED if paused else Status.RUNNING
    if container.state.status is wanted and container.state.pid == task.pid:
        return
    container.state = replace(container.state, status=wanted, pid=task.pid)
    save.save(engine, container)
    engine.containers.refresh(container)


async def _stray(engine: Engine, container_id: str) -> None:
    """End a task that belongs to no container, or to one whose start has failed."""
    log.warning("stray task removed container=%s", container_id[:12])
    for _ in range(_TRIES):
        with contextlib.suppress(errdefs.EngineError):
            await tasks.kill(engine, container_id, 9, everyone=True)
        try:
            await tasks.delete(engine, container_id)
            return
        except errdefs.NotFound:
            return
        except errdefs.EngineError as error:
            log.debug("stray task not deleted yet container=%s error=%s", container_id[:12], error)
        await asyncio.sleep(0.1)
    log.error("stray task stays container=%s", container_id[:12])
