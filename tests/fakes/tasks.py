"""A containerd of memory on a real gRPC socket: tasks that a test has end when it likes, and the events of that.

What it is asked to do is in `asked`, in order. It goes away and comes back by `stop` and `start`.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from grpc import aio

from protos import typeurl
from protos.containerd.events import task_pb2 as told_pb2
from protos.containerd.services.events.v1 import events_pb2
from protos.containerd.services.events.v1.events_pb2_grpc import EventsServicer, add_EventsServicer_to_server
from protos.containerd.services.tasks.v1 import tasks_pb2
from protos.containerd.services.tasks.v1.tasks_pb2_grpc import TasksServicer, add_TasksServicer_to_server
from protos.containerd.types.event_pb2 import Envelope
from protos.containerd.types.task import task_pb2


class Fake(TasksServicer, EventsServicer):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.tasks: dict[str, task_pb2.Process] = {}
        self.asked: list[tuple[str, str]] = []
        self.deaf: set[str] = set()
        """Containers that do not end by any signal but SIGKILL."""
        self.subscribers: set[asyncio.Queue[Envelope]] = set()
        self._server: aio.Server | None = None

    async def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = aio.server()
        add_TasksServicer_to_server(self, self._server)
        add_EventsServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"unix://{self.path}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server:
            await self._server.stop(None)
            self._server = None

    # what a test does

    def run(self, container_id: str, pid: int = 7) -> None:
        self.tasks[container_id] = task_pb2.Process(container_id=container_id, id=container_id, pid=pid,
                                                    status=task_pb2.RUNNING)

    def end(self, container_id: str, code: int = 0, *, tell: bool = True) -> None:
        """The task ends; `tell`: subscribers hear of it."""
        task = self.tasks[container_id]
        task.status, task.exit_status = task_pb2.STOPPED, code
        task.exited_at.GetCurrentTime()
        if tell:
            self.tell("/tasks/exit", told_pb2.TaskExit(
                container_id=container_id, id=container_id, pid=task.pid, exit_status=code, exited_at=task.exited_at))

    def tell(self, topic: str, event: Any) -> None:
        envelope = Envelope(namespace="moby", topic=topic, event=typeurl.from_message(event))
        for queue in self.subscribers:
            queue.put_nowait(envelope)

    # the wire

    async def Subscribe(self, request: events_pb2.SubscribeRequest, context: Any) -> AsyncIterator[Envelope]:
        queue: asyncio.Queue[Envelope] = asyncio.Queue()
        self.subscribers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.subscribers.discard(queue)

    async def Publish(self, request: events_pb2.PublishRequest, context: Any) -> empty_pb2.Empty:
        for queue in self.subscribers:
            queue.put_nowait(Envelope(namespace="moby", topic=request.topic, event=request.event))
        return empty_pb2.Empty()

    async def List(self, request: Any, context: Any) -> tasks_pb2.ListTasksResponse:
        self.asked.append(("list", ""))
        return tasks_pb2.ListTasksResponse(tasks=self.tasks.values())

    async def Kill(self, request: tasks_pb2.KillRequest, context: Any) -> empty_pb2.Empty:
        self.asked.append((f"kill {request.signal}", request.container_id))
        task = await self._find(request.container_id, context)
        if task.status == task_pb2.STOPPED:
            await context.abort(grpc.StatusCode.NOT_FOUND, "process already finished: not found")
        if request.signal == 9 or request.container_id not in self.deaf:
            self.end(request.container_id, 128 + request.signal)
        return empty_pb2.Empty()

    async def Resume(self, request: tasks_pb2.ResumeTaskRequest, context: Any) -> empty_pb2.Empty:
        self.asked.append(("resume", request.container_id))
        return empty_pb2.Empty()

    async def Delete(self, request: tasks_pb2.DeleteTaskRequest, context: Any) -> tasks_pb2.DeleteResponse:
        self.asked.append(("delete", request.container_id))
        task = await self._find(request.container_id, context)
        if task.status != task_pb2.STOPPED:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "task must be stopped before deletion")
        del self.tasks[request.container_id]
        return tasks_pb2.DeleteResponse(id=task.id, pid=task.pid, exit_status=task.exit_status)

    async def _find(self, container_id: str, context: Any) -> task_pb2.Process:
        if container_id not in self.tasks:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"task {container_id} not found: not found")
        return self.tasks[container_id]
