"""containerd.services.tasks.v1.Tasks: the wire of runtime/tasks.py."""

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from protos import errdefs
from protos.containerd.runtime.task.v3 import shim_pb2
from protos.containerd.services.tasks.v1 import tasks_pb2, tasks_pb2_grpc
from protos.rpc import require_namespace
from services.containerd.runtime.shims import stamp
from services.containerd.runtime.tasks import Tasks

Reply = TypeVar("Reply", bound=Message)


class TasksService(tasks_pb2_grpc.TasksServicer):
    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    async def Create(self, request: tasks_pb2.CreateTaskRequest, context: Any) -> tasks_pb2.CreateTaskResponse:
        pid = await self._tasks.create(require_namespace(), request)
        return tasks_pb2.CreateTaskResponse(container_id=request.container_id, pid=pid)

    async def Start(self, request: tasks_pb2.StartRequest, context: Any) -> tasks_pb2.StartResponse:
        return tasks_pb2.StartResponse(
            pid=await self._tasks.start_process(require_namespace(), request.container_id, request.exec_id)
        )

    async def Delete(self, request: tasks_pb2.DeleteTaskRequest, context: Any) -> tasks_pb2.DeleteResponse:
        ended = await self._tasks.delete(require_namespace(), request.container_id)
        return tasks_pb2.DeleteResponse(
            id=request.container_id, pid=ended.pid, exit_status=ended.status, exited_at=stamp(ended.at)
        )

    async def DeleteProcess(self, request: tasks_pb2.DeleteProcessRequest, context: Any) -> tasks_pb2.DeleteResponse:
        if not request.exec_id:
            raise errdefs.InvalidArgument("exec id must not be empty, a task is deleted by Delete")
        delete = shim_pb2.DeleteRequest(id=request.container_id, exec_id=request.exec_id)
        reply = await self._call(request.container_id, "Delete", delete, shim_pb2.DeleteResponse)
        return tasks_pb2.DeleteResponse(
            id=request.exec_id, pid=reply.pid, exit_status=reply.exit_status, exited_at=reply.exited_at
        )

    async def Get(self, request: tasks_pb2.GetRequest, context: Any) -> tasks_pb2.GetResponse:
        process = await self._tasks.get(require_namespace(), request.container_id, request.exec_id)
        return tasks_pb2.GetResponse(process=process)

    async def List(self, request: tasks_pb2.ListTasksRequest, context: Any) -> tasks_pb2.ListTasksResponse:
        return tasks_pb2.ListTasksResponse(tasks=await self._tasks.list(require_namespace()))

    async def Kill(self, request: tasks_pb2.KillRequest, context: Any) -> Empty:
        kill = shim_pb2.KillRequest(
            id=request.container_id, exec_id=request.exec_id, signal=request.signal, all=request.all
        )
        return await self._do(request.container_id, "Kill", kill)

    async def Exec(self, request: tasks_pb2.ExecProcessRequest, context: Any) -> Empty:
        process = shim_pb2.ExecProcessRequest(
            id=request.container_id, exec_id=request.exec_id, terminal=request.terminal, stdin=request.stdin,
            stdout=request.stdout, stderr=request.stderr, spec=request.spec,
        )
        await self._tasks.exec(require_namespace(), process)
        return Empty()

    async def ResizePty(self, request: tasks_pb2.ResizePtyRequest, context: Any) -> Empty:
        resize = shim_pb2.ResizePtyRequest(
            id=request.container_id, exec_id=request.exec_id, width=request.width, height=request.height
        )
        return await self._do(request.container_id, "ResizePty", resize)

    async def CloseIO(self, request: tasks_pb2.CloseIORequest, context: Any) -> Empty:
        close = shim_pb2.CloseIORequest(id=request.container_id, exec_id=request.exec_id, stdin=request.stdin)
        return await self._do(request.container_id, "CloseIO", close)

    async def Pause(self, request: tasks_pb2.PauseTaskRequest, context: Any) -> Empty:
        return await self._do(request.container_id, "Pause", shim_pb2.PauseRequest(id=request.container_id))

    async def Resume(self, request: tasks_pb2.ResumeTaskRequest, context: Any) -> Empty:
        return await self._do(request.container_id, "Resume", shim_pb2.ResumeRequest(id=request.container_id))

    async def ListPids(self, request: tasks_pb2.ListPidsRequest, context: Any) -> tasks_pb2.ListPidsResponse:
        pids = shim_pb2.PidsRequest(id=request.container_id)
        reply = await self._call(request.container_id, "Pids", pids, shim_pb2.PidsResponse)
        return tasks_pb2.ListPidsResponse(processes=reply.processes)

    async def Checkpoint(
        self, request: tasks_pb2.CheckpointTaskRequest, context: Any
    ) -> tasks_pb2.CheckpointTaskResponse:
        raise errdefs.Unimplemented("checkpoints are not supported")

    async def Update(self, request: tasks_pb2.UpdateTaskRequest, context: Any) -> Empty:
        update = shim_pb2.UpdateTaskRequest(
            id=request.container_id, resources=request.resources, annotations=request.annotations
        )
        return await self._do(request.container_id, "Update", update)

    async def Metrics(self, request: tasks_pb2.MetricsRequest, context: Any) -> tasks_pb2.MetricsResponse:
        metrics = await self._tasks.metrics(require_namespace(), list(request.filters))
        return tasks_pb2.MetricsResponse(metrics=metrics)

    async def Wait(self, request: tasks_pb2.WaitRequest, context: Any) -> tasks_pb2.WaitResponse:
        ended = await self._tasks.wait(require_namespace(), request.container_id, request.exec_id)
        return tasks_pb2.WaitResponse(exit_status=ended.status, exited_at=stamp(ended.at))

    async def _do(self, container_id: str, verb: str, request: Message) -> Empty:
        return await self._call(container_id, verb, request, Empty)

    async def _call(self, container_id: str, verb: str, request: Message, reply: Callable[[], Reply]) -> Reply:
        return await self._tasks.call(require_namespace(), container_id, verb, request, reply)
