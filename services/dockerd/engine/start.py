"""`start`: the network beside the runtime's create, waiting clients handed over, then the process let go.

Two calls to docker-containerd on the way, a third when the spec differs from the one it has. Whatever fails, all that
was made is taken back and the container shows why.
"""

import asyncio
import contextlib
import functools
import logging
import time
from pathlib import Path

from protos import errdefs
from protos.streams.v1 import streams_pb2
from services.dockerd.container.container import Container
from services.dockerd.container.state import Status
from services.dockerd.container.store import readable
from services.dockerd.engine import (
    attach,
    create,
    document,
    exits,
    failures,
    health,
    notify,
    remove,
    retry,
    runtimes,
    save,
    shm,
    streams,
    tasks,
    views,
    wait,
    wiring,
)
from services.dockerd.engine.engine import Engine
from services.dockerd.metrics import meter
from services.dockerd.volumes import mounts

log = logging.getLogger("start")


async def start(engine: Engine, reference: str) -> None:
    """Start a container that does not run. NotModified where it does."""
    container = engine.containers.get(reference)
    container.state.check("start", container.id)
    async with container.lock:
        container.state.check("start", container.id)
        retry.cancel(engine, container)
        container.restart_count = 0
        container.backoff.reset()
        await run(engine, container)


@meter.timed("container_actions", "start")
async def run(engine: Engine, container: Container) -> None:
    """Start while holding the container's lock."""
    if engine.closing:
        raise errdefs.Unavailable("dockerd is shutting down")
    readable(container)
    for before in (container.settled, container.prepared):
        if before and not before.done():
            await asyncio.wait([before])
    container.starting, container.early, container.manually_stopped = True, None, False
    try:
        await _create(engine, container)
        asked = time.time_ns()  # by the time the answer is there, the process may have ended
        pid = await tasks.start(engine, container.id)
        _started(engine, container, pid, asked)
    except BaseException as error:
        failure = _failure(error)
        await asyncio.shield(_roll_back(engine, container, failure))
        if isinstance(error, errdefs.EngineError | OSError):
            raise failure.error from error
        raise
    finally:
        container.starting = False
    await _hand_over(engine, container)
    if container.early:
        exits.record(engine, container, container.early)


async def _create(engine: Engine, container: Container) -> None:
    request = wiring.request(engine, container)
    sandbox = await engine.network.allocate(request)
    if mounts.unfilled(engine.volumes, container.mounts):
        await create.populate(engine, container)
    points = await mounts.attach(engine.volumes, container.id, container.mounts, views.of(engine, container))
    shm.make(container, engine.owner)
    spec = await document.build(engine, container, sandbox, points)
    runtimes.settle(engine, container)
    runtime = runtimes.of(engine, container)
    if not container.rootfs:
        container.rootfs = await tasks.mounts(engine, container)
    if spec != container.spec:
        await tasks.record(engine, container, spec, runtime.name, runtime.options)
    stdio = await streams.publish(engine, _streams(engine, container), foreign=runtime.foreign)
    if sandbox.late:
        await engine.network.fill(container.id, await _create_task(engine, container, stdio, runtime))
    else:
        connecting = asyncio.ensure_future(engine.network.connect(container.id))
        try:
            await _create_task(engine, container, stdio, runtime)
        except errdefs.EngineError:
            await asyncio.wait([connecting])
            raise
        await connecting
    await mounts.unpin(engine.volumes, container.id, points)
    if stdio.stdin:
        await tasks.release_stdin(engine, container.id)
    await _hand_over(engine, container)


async def _create_task(
    engine: Engine, container: Container, stdio: streams.Stdio, runtime: runtimes.Runtime
) -> int:
    try:
        pid = await tasks.create(engine, container, container.rootfs, stdio, runtime.options)
        if runtime.foreign:
            streams.check(engine, container.id)
    except errdefs.EngineError as error:
        raise _CreateError(error) from error
    return pid


class _CreateError(errdefs.EngineError):
    """Marks what Tasks.Create answered."""

    def __init__(self, error: errdefs.EngineError) -> None:
        super().__init__(str(error))
        self.error = error


def _failure(error: BaseException) -> failures.Failure:
    if isinstance(error, _CreateError):
        return failures.of_create(error.error)
    if isinstance(error, errdefs.EngineError):
        return failures.of_start(error)
    return failures.of_start(errdefs.Internal(str(error) or type(error).__name__))


def _started(engine: Engine, container: Container, pid: int, at: int) -> None:
    container.state = container.state.started(pid, at)
    container.started_before, container.pristine, container.boot_id = True, False, boot_id()
    health.start(engine, container)
    save.save(engine, container)
    engine.containers.refresh(container)
    notify.container(engine, container, "start")


@functools.cache
def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


async def _hand_over(engine: Engine, container: Container) -> None:
    while container.pending:
        await attach.hand_over(engine, container, container.pending.pop(0))


def _streams(engine: Engine, container: Container) -> streams_pb2.Config:
    from services.dockerd.logger import attributes, options, places

    config, log_config = container.config, container.host.LogConfig
    try:
        options.initialize(log_config.Type, log_config.Config or {})
        return streams_pb2.Config(
            container_id=container.id,
            tty=config.Tty,
            open_stdin=config.OpenStdin,
            stdin_once=config.StdinOnce,
            log_driver=log_config.Type,
            log_options=log_config.Config or {},
            log_path=places.make(container),
            log_attributes=attributes.select(container),
            log_tag=attributes.apart(container),
            log_cache_path=places.cache(container),
        )
    except errdefs.EngineError as error:  # a part of creating the task, as clients see it
        raise _CreateError(error) from error


async def _roll_back(engine: Engine, container: Container, failure: failures.Failure) -> None:
    """Take back what a start has made; nothing here may hide the failure."""
    for work in (_end_task(engine, container), engine.network.release(container.id),
                 mounts.detach(engine.volumes, container.id, container.mounts)):
        try:
            await work
        except (errdefs.EngineError, OSError) as error:
            log.warning("roll-back incomplete container=%s error=%s", container.short, error)
    shm.remove(container)
    streams.discard(engine, container.id)
    attach.drop(container)
    if container.state.status is Status.RUNNING:
        return  # it was started; only what came after went wrong
    container.state = container.state.failed(failure.code, str(failure.error))
    container.starting = False
    save.save(engine, container)
    engine.containers.refresh(container)
    wait.wake(container, "not-running")
    if container.host.AutoRemove and not container.keep:
        engine.spawn(remove.quietly(engine, container), f"auto-remove {container.short}")


async def _end_task(engine: Engine, container: Container) -> None:
    with contextlib.suppress(errdefs.NotFound):
        await tasks.kill(engine, container.id, 9, everyone=True)
    for _ in range(20):
        try:
            return await tasks.delete(engine, container.id)
        except errdefs.NotFound:
            return None
        except errdefs.FailedPrecondition:
            await asyncio.sleep(0.05)  # its exit is not known yet
    return None


