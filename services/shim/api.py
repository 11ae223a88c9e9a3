"""containerd.task.v3.Task, health and reflection: the wire of one container. Decode, call one method, encode."""

import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Protocol

from google.protobuf import any_pb2, empty_pb2, timestamp_pb2
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from protos import errdefs
from protos.containerd.runtime.task.v3 import shim_pb2
from protos.containerd.types.task import task_pb2
from services.shim.connection import Call, Method
from services.shim.loop import Future, Loop

log = logging.getLogger("api")

VERSION: Final = "0.1.0"
SERVICE: Final = "containerd.task.v3.Task"
_EMPTY: Final = empty_pb2.Empty()
_FORGOTTEN: Final = 10.0
"""Seconds a shim waits for Shutdown after its task was deleted, or could not be created."""
_LOOK: Final = 15.0
"""Seconds between two looks whether anybody can still ask for a task that has ended."""


class Exit(Protocol):
    """How a process ended; `at` in nanoseconds since the epoch."""

    @property
    def pid(self) -> int: ...
    @property
    def status(self) -> int: ...
    @property
    def at(self) -> int: ...


class Container(Protocol):
    """What the service needs of a container's life; exec_id "" is its init."""

    async def create(self, request: shim_pb2.CreateTaskRequest) -> int: ...
    async def start(self, exec_id: str) -> int: ...
    async def exec(self, request: shim_pb2.ExecProcessRequest) -> None: ...
    async def wait(self, exec_id: str) -> Exit: ...
    async def delete(self, exec_id: str) -> Exit: ...
    def state(self, exec_id: str) -> shim_pb2.StateResponse: ...


class Control(Protocol):
    """What it needs while the container runs."""

    async def kill(self, exec_id: str, signal: int, everyone: bool) -> None: ...
    async def pause(self) -> None: ...
    async def resume(self) -> None: ...
    async def resize(self, exec_id: str, width: int, height: int) -> None: ...
    async def close_io(self, exec_id: str) -> None: ...
    async def update(self, resources: dict[str, Any]) -> None: ...
    async def stats(self) -> any_pb2.Any: ...
    async def pids(self) -> list[task_pb2.ProcessInfo]: ...


def stamp(nanoseconds: int) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=nanoseconds // 10**9, nanos=nanoseconds % 10**9)


class Service:
    """`end` is called once the shim has no more to do: there is no task, and Shutdown came or does not come; or the
    task has ended and is `forsaken`: the bundle, by which alone containerd would find it again, is gone."""

    def __init__(
        self,
        loop: Loop,
        container_id: str,
        container: Container,
        control: Control,
        end: Callable[[], object],
        forsaken: Callable[[], bool] = lambda: False,
    ) -> None:
        self._loop = loop
        self._id = container_id
        self._container = container
        self._control = control
        self._end = end
        self._forsaken = forsaken
        self._creating: Future[int] | None = None
        self._waits: dict[str, Future[Exit]] = {}
        self._waiters: dict[str, set[Future[Exit]]] = {}
        self.created = False
        """A task exists: Create was asked for, and neither failed nor was deleted."""

    def methods(self) -> dict[str, Method]:
        """What `server.Server` serves."""
        verbs: list[tuple[type[Message], Callable[..., Awaitable[Message]]]] = [
            (shim_pb2.CreateTaskRequest, self.create),
            (shim_pb2.StartRequest, self.start),
            (shim_pb2.ExecProcessRequest, self.exec),
            (shim_pb2.KillRequest, self.kill),
            (shim_pb2.PauseRequest, self.pause),
            (shim_pb2.ResumeRequest, self.resume),
            (shim_pb2.ResizePtyRequest, self.resize_pty),
            (shim_pb2.CloseIORequest, self.close_io),
            (shim_pb2.UpdateTaskRequest, self.update),
            (shim_pb2.StatsRequest, self.stats),
            (shim_pb2.PidsRequest, self.pids),
            (shim_pb2.WaitRequest, self.wait),
            (shim_pb2.StateRequest, self.state),
            (shim_pb2.DeleteRequest, self.delete),
            (shim_pb2.CheckpointTaskRequest, self.checkpoint),
            (shim_pb2.ConnectRequest, self.connect),
            (shim_pb2.ShutdownRequest, self.shutdown),
        ]
        methods = {f"/{SERVICE}/{_verb(answer.__name__)}": Method(kind, answer) for kind, answer in verbs}
        methods["/grpc.health.v1.Health/Check"] = Method(health_pb2.HealthCheckRequest, self.check)
        return methods | _reflection()

    def _mine(self, container_id: str) -> None:
        if container_id != self._id:
            raise errdefs.NotFound(f"container {container_id} is not in this shim, which has {self._id}")

    # one verb each

    async def create(self, request: shim_pb2.CreateTaskRequest, call: Call) -> Message:
        self._mine(request.id)
        if self.created:
            raise errdefs.AlreadyExists(f"task {request.id} already exists")
        self.created = True
        self._creating = self._loop.spawn(self._container.create(request))
        try:
            pid = await self._creating
        except BaseException:
            self.created = False
            self._loop.call_later(_FORGOTTEN, self.end_unless_used)
            raise
        self._loop.spawn(self._outlive())
        return shim_pb2.CreateTaskResponse(pid=pid)

    async def start(self, request: shim_pb2.StartRequest, call: Call) -> Message:
        self._mine(request.id)
        return shim_pb2.StartResponse(pid=await self._container.start(request.exec_id))

    async def exec(self, request: shim_pb2.ExecProcessRequest, call: Call) -> Message:
        self._mine(request.id)
        await self._container.exec(request)
        return _EMPTY

    async def kill(self, request: shim_pb2.KillRequest, call: Call) -> Message:
        self._mine(request.id)
        await self._control.kill(request.exec_id, request.signal, request.all)
        return _EMPTY

    async def pause(self, request: shim_pb2.PauseRequest, call: Call) -> Message:
        self._mine(request.id)
        await self._control.pause()
        return _EMPTY

    async def resume(self, request: shim_pb2.ResumeRequest, call: Call) -> Message:
        self._mine(request.id)
        await self._control.resume()
        return _EMPTY

    async def resize_pty(self, request: shim_pb2.ResizePtyRequest, call: Call) -> Message:
        self._mine(request.id)
        await self._control.resize(request.exec_id, request.width, request.height)
        return _EMPTY

    async def close_io(self, request: shim_pb2.CloseIORequest, call: Call) -> Message:
        self._mine(request.id)
        if request.stdin:
            await self._control.close_io(request.exec_id)
        return _EMPTY

    async def update(self, request: shim_pb2.UpdateTaskRequest, call: Call) -> Message:
        self._mine(request.id)
        try:
            resources = json.loads(request.resources.value)
        except ValueError as error:
            raise errdefs.InvalidArgument(f"resources are no JSON: {error}") from error
        if not isinstance(resources, dict):
            raise errdefs.InvalidArgument("resources must be a JSON object")
        await self._control.update(resources)
        return _EMPTY

    async def stats(self, request: shim_pb2.StatsRequest, call: Call) -> Message:
        self._mine(request.id)
        return shim_pb2.StatsResponse(stats=await self._control.stats())

    async def pids(self, request: shim_pb2.PidsRequest, call: Call) -> Message:
        self._mine(request.id)
        return shim_pb2.PidsResponse(processes=await self._control.pids())

    async def wait(self, request: shim_pb2.WaitRequest, call: Call) -> Message:
        self._mine(request.id)
        ended = await self._wait(request.exec_id, call)
        return shim_pb2.WaitResponse(exit_status=ended.status, exited_at=stamp(ended.at))

    async def state(self, request: shim_pb2.StateRequest, call: Call) -> Message:
        self._mine(request.id)
        state: Message = self._container.state(request.exec_id)
        return state

    async def delete(self, request: shim_pb2.DeleteRequest, call: Call) -> Message:
        self._mine(request.id)
        ended = await self._container.delete(request.exec_id)
        if not request.exec_id:
            self.created = False
            self._loop.call_later(_FORGOTTEN, self.end_unless_used)
        return shim_pb2.DeleteResponse(pid=ended.pid, exit_status=ended.status, exited_at=stamp(ended.at))

    async def checkpoint(self, request: shim_pb2.CheckpointTaskRequest, call: Call) -> Message:
        raise errdefs.Unimplemented("checkpoints are not supported")

    async def connect(self, request: shim_pb2.ConnectRequest, call: Call) -> Message:
        """Waits for a Create that is under way, so that a containerd that comes back learns how it ended."""
        if self._creating is not None and not self._creating.done:
            settled: Future[None] = Future()
            self._creating.when_done(lambda: settled.set(None))
            await settled
        pid = self._container.state("").pid if self.created else 0
        return shim_pb2.ConnectResponse(shim_pid=os.getpid(), task_pid=pid, version=VERSION)

    async def shutdown(self, request: shim_pb2.ShutdownRequest, call: Call) -> Message:
        if request.now:
            self._loop.call_soon(self._end)
        else:
            self.end_unless_used()
        return _EMPTY

    async def _outlive(self) -> None:
        """End with the last that could ask for the ended task."""
        task = self._creating
        await self._container.wait("")
        while self.created and self._creating is task and not self._forsaken():
            await self._loop.sleep(_LOOK)
        if self.created and self._creating is task:
            log.warning("shim ends: its task has ended, and its bundle is gone id=%s", self._id)
            self._end()

    def end_unless_used(self) -> None:
        if not self.created:
            self._loop.call_soon(self._end)

    async def check(self, request: health_pb2.HealthCheckRequest, call: Call) -> Message:
        if request.service not in ("", SERVICE):
            raise errdefs.NotFound(f"unknown service {request.service}")
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    # any number of Waits, some given up, on one wait for each process

    async def _wait(self, exec_id: str, call: Call) -> Exit:
        waiter: Future[Exit] = Future()
        waiters = self._waiters.setdefault(exec_id, set())
        waiters.add(waiter)

        def give_up() -> None:
            waiters.discard(waiter)
            waiter.fail(errdefs.Canceled("given up by the caller"))

        call.on_cancel(give_up)
        if exec_id not in self._waits:
            running = self._waits[exec_id] = self._loop.spawn(self._container.wait(exec_id))
            running.when_done(lambda: self._exited(exec_id, running))
        return await waiter

    def _exited(self, exec_id: str, running: Future[Exit]) -> None:
        self._waits.pop(exec_id, None)
        for waiter in self._waiters.pop(exec_id, set()):
            try:
                waiter.set(running.result())
            except Exception as error:
                waiter.fail(error)


def _verb(name: str) -> str:
    return {"resize_pty": "ResizePty", "close_io": "CloseIO"}.get(name, name.capitalize())


def _reflection() -> dict[str, Method]:
    """Server reflection; its v1 has the messages of v1alpha under another package name."""
    from grpc_reflection.v1alpha import reflection_pb2  # only descriptors

    from services.shim.reflection import describe

    def answer(request: reflection_pb2.ServerReflectionRequest) -> Iterable[Message]:
        yield describe(request, (SERVICE, "grpc.health.v1.Health"))

    method = Method(reflection_pb2.ServerReflectionRequest, each=answer)
    path = "/grpc.reflection.{}.ServerReflection/ServerReflectionInfo"
    return {path.format(version): method for version in ("v1", "v1alpha")}
