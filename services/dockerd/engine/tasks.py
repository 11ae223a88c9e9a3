"""Calls on tasks of docker-containerd, in the engine's terms. Each is one gRPC call; errors are protos.errdefs'."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import any_pb2

from protos import errdefs, typeurl
from protos.containerd.services.containers.v1 import containers_pb2
from protos.containerd.services.snapshots.v1 import snapshots_pb2
from protos.containerd.services.tasks.v1 import tasks_pb2
from protos.containerd.types.mount_pb2 import Mount
from protos.containerd.types.task.task_pb2 import Process, ProcessInfo
from services.dockerd.container.container import Container
from services.dockerd.engine.engine import Engine
from services.dockerd.engine.streams import Stdio
from services.dockerd.graph import of_container, of_device

SLOW: Final = 120.0
"""Seconds for calls in which a runtime works."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a process as docker-containerd tells it; `at` in nanoseconds."""

    container_id: str
    exec_id: str
    """"" for the container's own process."""
    pid: int
    code: int
    at: int


async def create(
    engine: Engine, container: Container, rootfs: Sequence[Mount], stdio: Stdio, options: any_pb2.Any
) -> int:
    """Have the runtime create the container; the pid of its init, which waits for `start`."""
    request = tasks_pb2.CreateTaskRequest(
        container_id=container.id, rootfs=rootfs, stdin=stdio.stdin, stdout=stdio.stdout, stderr=stdio.stderr,
        terminal=container.config.Tty, options=options)
    return (await engine.client.call(engine.client.tasks.Create, request, timeout=SLOW)).pid


async def start(engine: Engine, container_id: str, exec_id: str = "") -> int:
    request = tasks_pb2.StartRequest(container_id=container_id, exec_id=exec_id)
    return (await engine.client.call(engine.client.tasks.Start, request, timeout=SLOW)).pid


async def release_stdin(engine: Engine, container_id: str, exec_id: str = "") -> None:
    """Have a shim that reads stdin from a fifo let go of its own writing end: the input then ends with the writer's."""
    request = tasks_pb2.CloseIORequest(container_id=container_id, exec_id=exec_id, stdin=True)
    with contextlib.suppress(errdefs.NotFound):  # it has ended already
        await engine.client.call(engine.client.tasks.CloseIO, request)


async def kill(engine: Engine, container_id: str, signal: int, *, exec_id: str = "", everyone: bool = False) -> None:
    request = tasks_pb2.KillRequest(container_id=container_id, exec_id=exec_id, signal=signal, all=everyone)
    await engine.client.call(engine.client.tasks.Kill, request)


async def delete(engine: Engine, container_id: str) -> None:
    """Forget an ended task; NotFound where there is none."""
    request = tasks_pb2.DeleteTaskRequest(container_id=container_id)
    await engine.client.call(engine.client.tasks.Delete, request, timeout=SLOW)


async def delete_exec(engine: Engine, container_id: str, exec_id: str) -> None:
    request = tasks_pb2.DeleteProcessRequest(container_id=container_id, exec_id=exec_id)
    await engine.client.call(engine.client.tasks.DeleteProcess, request)


async def execute(
    engine: Engine, container_id: str, exec_id: str, stdio: Stdio, process: dict[str, Any], *, tty: bool
) -> None:
    """Register a further process of a running task."""
    request = tasks_pb2.ExecProcessRequest(
        container_id=container_id, exec_id=exec_id, stdin=stdio.stdin, stdout=stdio.stdout, stderr=stdio.stderr,
        terminal=tty,
        spec=typeurl.from_json(typeurl.PROCESS, process))
    await engine.client.call(engine.client.tasks.Exec, request, timeout=SLOW)


async def pause(engine: Engine, container_id: str) -> None:
    await engine.client.call(engine.client.tasks.Pause, tasks_pb2.PauseTaskRequest(container_id=container_id))


async def resume(engine: Engine, container_id: str) -> None:
    await engine.client.call(engine.client.tasks.Resume, tasks_pb2.ResumeTaskRequest(container_id=container_id))


async def resize(engine: Engine, container_id: str, height: int, width: int, exec_id: str = "") -> None:
    request = tasks_pb2.ResizePtyRequest(container_id=container_id, exec_id=exec_id, width=width, height=height)
    await engine.client.call(engine.client.tasks.ResizePty, request)


async def update(engine: Engine, container_id: str, resources: dict[str, Any]) -> None:
    """Change the limits of a running task; `resources` is OCI's LinuxResources."""
    packed = typeurl.from_json(typeurl.RESOURCES, resources)
    request = tasks_pb2.UpdateTaskRequest(container_id=container_id, resources=packed)
    await engine.client.call(engine.client.tasks.Update, request, timeout=SLOW)


async def pids(engine: Engine, container_id: str) -> list[ProcessInfo]:
    request = tasks_pb2.ListPidsRequest(container_id=container_id)
    return list((await engine.client.call(engine.client.tasks.ListPids, request)).processes)


async def get(engine: Engine, container_id: str, exec_id: str = "") -> Process:
    request = tasks_pb2.GetRequest(container_id=container_id, exec_id=exec_id)
    return (await engine.client.call(engine.client.tasks.Get, request)).process


async def listed(engine: Engine) -> list[Process]:
    return list((await engine.client.call(engine.client.tasks.List, tasks_pb2.ListTasksRequest())).tasks)


async def mounts(engine: Engine, container: Container) -> list[Mount]:
    """What makes up the container's root file system."""
    request = snapshots_pb2.MountsRequest(snapshotter=container.driver, key=container.id)
    return list((await engine.client.call(engine.client.snapshots.Mounts, request)).mounts)


async def graph(engine: Engine, container: Container) -> dict[str, str] | None:
    """Where its storage driver has it. The mounts of a thin device are not asked for: that would activate it."""
    if container.driver == "devmapper":
        request = snapshots_pb2.StatSnapshotRequest(snapshotter=container.driver, key=container.id)
        return of_device((await engine.client.call(engine.client.snapshots.Stat, request)).info.labels)
    if not container.rootfs:
        container.rootfs = await mounts(engine, container)
    return of_container(container.id, container.driver, container.rootfs)


async def usage(engine: Engine, container: Container) -> int:
    """Bytes that the container's own layer takes."""
    request = snapshots_pb2.UsageRequest(snapshotter=container.driver, key=container.id)
    return (await engine.client.call(engine.client.snapshots.Usage, request)).size


async def record(engine: Engine, container: Container, spec: bytes, runtime: str, options: any_pb2.Any) -> None:
    """Make docker-containerd's record of the container hold this spec."""
    call, containers = engine.client.call, engine.client.containers
    described = containers_pb2.Container(
        id=container.id,
        image=container.config.Image,
        runtime=containers_pb2.Container.Runtime(name=runtime, options=options),
        spec=any_pb2.Any(type_url=typeurl.SPEC, value=spec),
        snapshotter=container.driver,
        snapshot_key=container.id,
    )
    update = containers_pb2.UpdateContainerRequest(container=described)
    update.update_mask.paths.append("spec")
    create = containers_pb2.CreateContainerRequest(container=described)
    try:
        made = container.spec or not container.pristine  # perhaps in an earlier life of dockerd
        await (call(containers.Update, update) if made else call(containers.Create, create))
    except errdefs.AlreadyExists:  # the answer to an earlier call was lost
        await call(containers.Update, update)
    except errdefs.NotFound:
        await call(containers.Create, create)
    container.spec = spec


async def forget(engine: Engine, container: Container) -> None:
    """Delete docker-containerd's record of the container and its file system; harmless if repeated."""
    await erase(engine, container.driver, container.id)


async def erase(engine: Engine, snapshotter: str, container_id: str) -> None:
    """As `forget`, for a container that is known by its id only."""
    record = containers_pb2.DeleteContainerRequest(id=container_id)
    snapshot = snapshots_pb2.RemoveSnapshotRequest(snapshotter=snapshotter, key=container_id)
    with contextlib.suppress(errdefs.NotFound):
        await engine.client.call(engine.client.containers.Delete, record)
    with contextlib.suppress(errdefs.NotFound):
        await engine.client.call(engine.client.snapshots.Remove, snapshot)
