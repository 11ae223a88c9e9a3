"""containerd.services.tasks.v1.Tasks: the wire of runtime/tasks.py."""

from protos.containerd.services.tasks.v1 import tasks_pb2_grpc
from services.containerd.runtime.tasks import Tasks


class TasksService(tasks_pb2_grpc.TasksServicer):
    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
