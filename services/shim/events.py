"""What a shim tells of its container: the messages behind the topics /tasks/*, in containerd's order and words."""

from collections.abc import Callable

from google.protobuf import timestamp_pb2
from google.protobuf.message import Message

from protos.containerd.events import task_pb2
from protos.containerd.runtime.task.v3 import shim_pb2
from services.shim.reaper import Exit

Publish = Callable[[str, Message], None]


class Events:
    def __init__(self, publish: Publish, container_id: str) -> None:
        self._publish = publish
        self._id = container_id

    def created(self, request: shim_pb2.CreateTaskRequest, pid: int) -> None:
        io = task_pb2.TaskIO(
            stdin=request.stdin, stdout=request.stdout, stderr=request.stderr, terminal=request.terminal
        )
        event = task_pb2.TaskCreate(
            container_id=self._id, bundle=request.bundle, rootfs=request.rootfs, io=io, pid=pid
        )
        self._publish("/tasks/create", event)

    def started(self, pid: int) -> None:
        self._publish("/tasks/start", task_pb2.TaskStart(container_id=self._id, pid=pid))

    def exec_added(self, exec_id: str) -> None:
        self._publish("/tasks/exec-added", task_pb2.TaskExecAdded(container_id=self._id, exec_id=exec_id))

    def exec_started(self, exec_id: str, pid: int) -> None:
        event = task_pb2.TaskExecStarted(container_id=self._id, exec_id=exec_id, pid=pid)
        self._publish("/tasks/exec-started", event)

    def exited(self, exec_id: str, ended: Exit) -> None:
        """Init exits under the container's own id."""
        event = task_pb2.TaskExit(
            container_id=self._id, id=exec_id or self._id, pid=ended.pid, exit_status=ended.status,
            exited_at=timestamp(ended.at),
        )
        self._publish("/tasks/exit", event)

    def deleted(self, ended: Exit) -> None:
        event = task_pb2.TaskDelete(
            container_id=self._id, pid=ended.pid, exit_status=ended.status, exited_at=timestamp(ended.at)
        )
        self._publish("/tasks/delete", event)

    def paused(self) -> None:
        self._publish("/tasks/paused", task_pb2.TaskPaused(container_id=self._id))

    def resumed(self) -> None:
        self._publish("/tasks/resumed", task_pb2.TaskResumed(container_id=self._id))

    def out_of_memory(self) -> None:
        self._publish("/tasks/oom", task_pb2.TaskOOM(container_id=self._id))


def timestamp(nanoseconds: int) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=nanoseconds // 10**9, nanos=nanoseconds % 10**9)
