"""Verbs on a container that runs: signals, pausing, limits, figures. How it comes and goes is in container.py."""

import signal as signals
from typing import Any

from google.protobuf import any_pb2

from protos import typeurl
from protos.containerd.types.runc.options import oci_pb2
from protos.containerd.types.task import task_pb2
from protos.errdefs import EngineError, NotFound
from services.shim.container import Container, Task
from services.shim.loop import Loop
from services.shim.process.process import Process
from services.shim.process.state import State, Verb


class Control:
    """Raises protos.errdefs errors; NotFound before the container was created."""

    def __init__(self, loop: Loop, container: Container) -> None:
        self._loop = loop
        self._container = container
        self._find = container.processes.find

    def _init(self) -> tuple[Process, Task]:
        return self._find(""), self._container.task

    async def kill(self, exec_id: str, signal: int, everyone: bool) -> None:
        process = self._find(exec_id)
        init, task = self._init()
        if process.died.done or process.state is State.DELETED:
            raise NotFound("process already finished: not found")
        if process is not init:
            process.signal(task.reaper, signal)
        elif everyone:
            await task.cgroup.kill(self._loop, signal)
        elif task.runtime.native:
            process.signal(task.reaper, signal)
            if signal == signals.SIGKILL:
                task.cgroup.thaw()
        else:
            await task.runtime.kill(signal, everyone)

    async def pause(self) -> None:
        init, task = self._init()
        async with init.lock:
            init.move(Verb.PAUSE)
            try:
                await task.runtime.pause()
            except EngineError:
                if init.state is State.PAUSING:
                    init.state = State.RUNNING
                raise
            if init.state is State.PAUSING:
                init.move(Verb.PAUSED)
        task.events.paused()

    async def resume(self) -> None:
        init, task = self._init()
        async with init.lock:
            before = init.state
            init.move(Verb.RESUME)
            try:
                await task.runtime.resume()
            except EngineError:
                init.state = before
                raise
        task.events.resumed()

    async def resize(self, exec_id: str, width: int, height: int) -> None:
        self._find(exec_id).resize(width, height)

    async def close_io(self, exec_id: str) -> None:
        """No more input comes from the caller's side."""
        self._find(exec_id).stdio.close_stdin()

    async def update(self, resources: dict[str, Any]) -> None:
        """Apply an OCI LinuxResources document."""
        init, task = self._init()
        init.move(Verb.UPDATE)
        await task.runtime.update(resources)

    async def stats(self) -> any_pb2.Any:
        init, task = self._init()
        if init.died.done:
            raise NotFound(f"task {self._container.id} has ended: not found")
        return typeurl.from_message(task.cgroup.metrics())

    async def pids(self) -> list[task_pb2.ProcessInfo]:
        _, task = self._init()
        named = {each.pid: each.name for each in self._container.processes.execs.values()}
        return [_process_info(pid, named.get(pid, "")) for pid in task.cgroup.pids()]


def _process_info(pid: int, exec_id: str) -> task_pb2.ProcessInfo:
    info = task_pb2.ProcessInfo(pid=pid)
    if exec_id:
        info.info.CopyFrom(typeurl.from_message(oci_pb2.ProcessDetails(exec_id=exec_id)))
    return info
