"""The verbs of the tasks of every namespace.

Wiring: `Tasks(settings, containers, mounts, publish)`, `await start()` before the server listens (adopts the shims of
an earlier life), `await stop()` after it closed (ends the zygote; shims and containers live on). Wire: api/tasks.py.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Final, Protocol, TypeVar

from google.protobuf import any_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from protos import errdefs
from protos.containerd.runtime.task.v3 import shim_pb2
from protos.containerd.services.containers.v1 import containers_pb2
from protos.containerd.services.tasks.v1 import tasks_pb2
from protos.containerd.types import metrics_pb2, mount_pb2
from protos.containerd.types.task import task_pb2
from services.containerd import filters, identifiers
from services.containerd.runtime import names
from services.containerd.runtime.bundle import Bundle, Exit
from services.containerd.runtime.grace import Grace
from services.containerd.runtime.shim import DEADLINE, Shim
from services.containerd.runtime.shims import Key, Publish, Settings, Shims, nanoseconds, stamp

log = logging.getLogger("tasks")

Mounts = Callable[[str, str, str], Sequence[mount_pb2.Mount]]
"""mounts(namespace, snapshotter, key): the mounts of a snapshot."""

Reply = TypeVar("Reply", bound=Message)
Processes = list[task_pb2.Process]
Measures = list[metrics_pb2.Metric]

_CREATE: Final = 120.0
_START: Final = 60.0
_LOOK: Final = 2.0


class Containers(Protocol):
    """What the runtime needs of the container store."""

    def get(self, namespace: str, container_id: str) -> containers_pb2.Container:
        """The container; raises NotFound."""
        ...


class Tasks:
    def __init__(self, settings: Settings, containers: Containers, mounts: Mounts, publish: Publish) -> None:
        self._containers = containers
        self._mounts = mounts
        self._shims = Shims(settings, publish)
        self._starting: set[Key] = set()
        self._grace = Grace()

    async def start(self) -> None:
        """Start the zygote, connect to the shims found in bundles, clean up after those that died meanwhile."""
        await self._shims.start()

    async def stop(self) -> None:
        """End the zygote and all connections; containers and their shims go on."""
        await self._shims.stop()

    def alive(self, namespace: str, container_id: str) -> bool:
        """Whether the container has a task, running or not."""
        return self._shims.get(namespace, container_id) is not None

    def find(self, namespace: str, container_id: str) -> Shim:
        shim = self._shims.get(namespace, container_id)
        if shim is None:
            raise errdefs.NotFound(f"task {container_id} not found: not found")
        return shim

    async def call(
        self,
        namespace: str,
        container_id: str,
        verb: str,
        request: Message,
        reply: Callable[[], Reply],
        timeout: float | None = DEADLINE,
    ) -> Reply:
        """A verb that the shim alone knows how to do."""
        shim = self.find(namespace, container_id)
        if shim.exit.done():
            raise errdefs.NotFound(f"task {container_id} has ended with its shim: not found")
        return await shim.call(verb, request, reply, timeout)

    async def exec(self, namespace: str, request: shim_pb2.ExecProcessRequest) -> None:
        """Register a further process, which is likely to be started at once."""
        with self._grace.ahead():
            await self.call(namespace, request.id, "Exec", request, Empty)

    async def start_process(self, namespace: str, container_id: str, exec_id: str) -> int:
        """Start a task's init or a further process; its pid."""
        request = shim_pb2.StartRequest(id=container_id, exec_id=exec_id)
        # An init is in its control groups since it was created.
        with self._grace.ahead() if exec_id else nullcontext():
            return (await self.call(namespace, container_id, "Start", request, shim_pb2.StartResponse, _START)).pid

    async def create(self, namespace: str, request: tasks_pb2.CreateTaskRequest) -> int:
        """The pid of the container's init."""
        identifiers.check(request.container_id)
        container = self._containers.get(namespace, request.container_id)
        key = (namespace, container.id)
        if request.HasField("checkpoint"):
            raise errdefs.Unimplemented("a task cannot be restored from a checkpoint yet")
        before = self._shims.get(*key)
        if key in self._starting or (before is not None and not before.exit.done()):
            raise errdefs.AlreadyExists(f"task {container.id}: already exists")
        self._starting.add(key)
        try:
            await self._shims.cleared(*key)
            if before is not None:
                self._shims.drop(before)
            return await self._create(namespace, container, request)
        finally:
            self._starting.discard(key)

    async def _create(
        self, namespace: str, container: containers_pb2.Container, request: tasks_pb2.CreateTaskRequest
    ) -> int:
        program = names.program_of(request.runtime_path or container.runtime.name, self._shims.settings.shim)
        options = request.options if request.options.type_url else container.runtime.options
        rootfs = list(request.rootfs)
        if not rootfs and container.snapshot_key:
            rootfs = list(self._mounts(namespace, container.snapshotter, container.snapshot_key))
        bundle = Bundle.create(self._shims.settings.state, namespace, container.id, container.spec.value)
        shim = await self._shims.launch(bundle, program, options)
        try:
            pid = await self._create_in(shim, request, rootfs, options)
        except BaseException:
            await asyncio.shield(self._shims.discard(shim))
            raise
        self._shims.keep(shim)
        return pid

    async def _create_in(
        self,
        shim: Shim,
        request: tasks_pb2.CreateTaskRequest,
        rootfs: Sequence[mount_pb2.Mount],
        options: any_pb2.Any,
    ) -> int:
        create = shim_pb2.CreateTaskRequest(
            id=shim.bundle.id, bundle=str(shim.bundle.path), rootfs=rootfs, terminal=request.terminal,
            stdin=request.stdin, stdout=request.stdout, stderr=request.stderr,
            options=options if options.type_url else None,
        )
        with self._grace.ahead():
            reply = await shim.call("Create", create, shim_pb2.CreateTaskResponse, _CREATE)
        return reply.pid

    async def delete(self, namespace: str, container_id: str) -> Exit:
        """Forget a task that has ended; how it ended. Once begun it is done, whether or not the caller stays."""
        return await asyncio.shield(self._delete(self.find(namespace, container_id), container_id))

    async def _delete(self, shim: Shim, container_id: str) -> Exit:
        if not shim.exit.done():
            try:
                request = shim_pb2.DeleteRequest(id=container_id)
                reply = await shim.call("Delete", request, shim_pb2.DeleteResponse)
            except errdefs.NotFound:
                self._dismiss(shim)  # it was deleted for an earlier life of ours, which could not note it any more
                raise
            except errdefs.Unavailable:
                if await self._shims.end_of(shim) is None:
                    raise
            else:
                self._dismiss(shim)
                return Exit(reply.pid, reply.exit_status, nanoseconds(reply.exited_at))
        self._shims.drop(shim)
        return shim.exit.result()

    def _dismiss(self, shim: Shim) -> None:
        shim.release()
        self._shims.drop(shim)
        self._shims.spawn(shim.shut_down())

    async def wait(self, namespace: str, container_id: str, exec_id: str) -> Exit:
        """However long it takes, through broken connections and the shim's death."""
        shim = self.find(namespace, container_id)
        request = shim_pb2.WaitRequest(id=container_id, exec_id=exec_id)
        while not shim.exit.done():
            try:
                reply = await shim.call("Wait", request, shim_pb2.WaitResponse, None)
                return Exit(0, reply.exit_status, nanoseconds(reply.exited_at))
            except errdefs.Unavailable:
                await self._shims.end_of(shim)
        return shim.exit.result()

    async def get(self, namespace: str, container_id: str, exec_id: str) -> task_pb2.Process:
        shim = self.find(namespace, container_id)
        if not shim.exit.done():
            try:
                request = shim_pb2.StateRequest(id=container_id, exec_id=exec_id)
                return _process(await shim.call("State", request, shim_pb2.StateResponse))
            except errdefs.Unavailable:
                if await self._shims.end_of(shim) is None:
                    raise
        return _ended(container_id, exec_id, shim.exit.result())

    async def list(self, namespace: str) -> Processes:
        """Every task; one whose shim does not answer is of UNKNOWN status."""
        return [*await asyncio.gather(*map(self._look_at, self._shims.all(namespace)))]

    async def _look_at(self, shim: Shim) -> task_pb2.Process:
        if shim.exit.done():
            return _ended(shim.bundle.id, "", shim.exit.result())
        try:
            request = shim_pb2.StateRequest(id=shim.bundle.id)
            return _process(await shim.call("State", request, shim_pb2.StateResponse, _LOOK))
        except errdefs.EngineError as error:
            log.warning("state unknown id=%s error=%s", shim.bundle.id, error)
            return task_pb2.Process(container_id=shim.bundle.id, id=shim.bundle.id)

    async def metrics(self, namespace: str, wanted: Sequence[str]) -> Measures:
        """Of the running tasks that the filters choose; one that does not answer is left out."""
        matches = filters.compile_all(wanted)
        running = (shim for shim in self._shims.all(namespace) if not shim.exit.done())
        chosen = [shim for shim in running if matches(lambda path, it=shim: _field(it, path))]  # type: ignore[misc]
        return [metric for metric in await asyncio.gather(*map(self._measure, chosen)) if metric]

    async def _measure(self, shim: Shim) -> metrics_pb2.Metric | None:
        request = shim_pb2.StatsRequest(id=shim.bundle.id)
        try:
            reply = await shim.call("Stats", request, shim_pb2.StatsResponse)
        except errdefs.EngineError as error:
            log.debug("no metrics id=%s error=%s", shim.bundle.id, error)
            return None
        metric = metrics_pb2.Metric(id=shim.bundle.id, data=reply.stats)
        metric.timestamp.GetCurrentTime()
        return metric


def _field(shim: Shim, path: list[str]) -> str | None:
    return {"id": shim.bundle.id, "namespace": shim.bundle.namespace}.get(".".join(path))


def _process(state: shim_pb2.StateResponse) -> task_pb2.Process:
    return task_pb2.Process(
        container_id=state.id, id=state.exec_id or state.id, pid=state.pid, status=state.status, stdin=state.stdin,
        stdout=state.stdout, stderr=state.stderr, terminal=state.terminal, exit_status=state.exit_status,
        exited_at=state.exited_at if state.HasField("exited_at") else None,
    )


def _ended(container_id: str, exec_id: str, ended: Exit) -> task_pb2.Process:
    return task_pb2.Process(
        container_id=container_id, id=exec_id or container_id, pid=ended.pid, status=task_pb2.STOPPED,
        exit_status=ended.status, exited_at=stamp(ended.at),
    )
