"""One container of a shim: how its init and its execs come and go, behind the verbs of containerd.task.v3.

The wire is api.py's; here are the rules: what may follow what, and what is published when. What happens between the end
of a process and its announcement is in exits.py, `runc delete` runs meanwhile; verbs on what runs are in control.py.
"""

import logging
import signal as signals
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protos import typeurl
from protos.containerd.runtime.task.v3 import shim_pb2
from protos.containerd.types.runc.options import oci_pb2
from protos.errdefs import AlreadyExists, EngineError, FailedPrecondition, Unimplemented
from services.shim import linux
from services.shim.cgroup import Cgroup, Oom, cgroup_of, has_own_pid_namespace
from services.shim.events import Events, Publish
from services.shim.exits import Exits
from services.shim.loop import Future, Lock, Loop
from services.shim.process.exec import Exec
from services.shim.process.init import Init
from services.shim.process.process import Process
from services.shim.process.rootfs import Mount
from services.shim.process.state import State, Verb
from services.shim.processes import Processes
from services.shim.reaper import Exit, Reaper
from services.shim.runtime import Runtime, Settings
from services.shim.streams.factory import Request, open_stdio

log = logging.getLogger("container")

_FAILED_START: Final = 255


@dataclass(slots=True)
class Task:
    """What a created container has beside its processes."""

    bundle: Path
    owner: tuple[int, int]
    """Uid and gid that its pipes are given to."""
    reaper: Reaper
    runtime: Runtime
    events: Events
    exits: Exits
    cgroup: Cgroup
    own_pids: bool
    oom: Oom


class Container:
    """One per shim process. Raises protos.errdefs errors.

    `publish(topic, event)` queues and never blocks. Made after the fork from a zygote.
    """

    task: Task

    def __init__(self, loop: Loop, namespace: str, publish: Publish) -> None:
        self._loop = loop
        self._reaper = Reaper(loop)
        self._namespace = namespace
        self._publish = publish
        self.processes = Processes(loop)
        self._creating = False
        self._starting = Lock()
        self._cleared: Future[None] = Future()

    @property
    def id(self) -> str:
        """Its id; "" before create."""
        return self.processes.container_id

    @property
    def pid(self) -> int:
        """The init process's pid; 0 before create."""
        return self.processes.init.pid if self.processes.init else 0

    @property
    def running(self) -> bool:
        """Init was started, and has not ended."""
        return self.processes.init is not None and self.processes.init.state is State.RUNNING

    # create

    async def create(self, request: shim_pb2.CreateTaskRequest) -> int:
        """Have the runtime create the container; the init's pid."""
        if self.processes.init is not None or self._creating:
            raise AlreadyExists(f"task {request.id} exists already: already exists")
        if request.checkpoint:
            raise Unimplemented("a task cannot be restored from a checkpoint yet")
        self._creating = True
        try:
            return await self._create(request)
        finally:
            self._creating = False

    async def _create(self, request: shim_pb2.CreateTaskRequest) -> int:
        options = oci_pb2.Options()
        typeurl.to_message(request.options, options)
        self.processes.container_id, bundle = request.id, Path(request.bundle)
        settings = Settings.of(options, bundle)
        settings.save(bundle)
        runtime = Runtime(self._reaper, settings, request.id, bundle)
        stdio_request = self._stdio_request(request, (options.io_uid, options.io_gid))
        init = Init("", stdio_request, await open_stdio(self._loop, self._reaper, stdio_request))
        mounts = [Mount(each.type, each.source, each.target, tuple(each.options)) for each in request.rootfs]
        try:
            await init.create(self._loop, self._reaper, runtime, bundle, mounts)
            self.task = self._look_at(init, runtime, bundle)
        except BaseException:
            init.close()
            if init.pid:
                await self._undo_create(init, runtime)
            raise
        self.processes.init = init
        self.task.events.created(request, init.pid)
        self.task.exits.follow_init(init, self._init_ended)
        return init.pid

    def _look_at(self, init: Init, runtime: Runtime, bundle: Path) -> Task:
        """With what can be known only while it lives."""
        events = Events(self._publish, self.id)
        exits = Exits(self._loop, self.processes, events, bundle)
        try:
            cgroup, own_pids = cgroup_of(init.pid), has_own_pid_namespace(init.pid)
        except OSError as error:
            raise FailedPrecondition(f"init of container {self.id} ended before it was started") from error
        oom = cgroup.watch_oom(self._loop, events.out_of_memory)
        return Task(bundle, init.request.owner, self._reaper, runtime, events, exits, cgroup, own_pids, oom)

    async def _undo_create(self, init: Init, runtime: Runtime) -> None:
        self._reaper.signal(init.pid, signals.SIGKILL)
        with suppress(EngineError):
            await runtime.delete(force=True)

    def _stdio_request(
        self, request: shim_pb2.CreateTaskRequest | shim_pb2.ExecProcessRequest, owner: tuple[int, int]
    ) -> Request:
        return Request(
            self._namespace, self.id, request.stdin, request.stdout, request.stderr, request.terminal, owner
        )

    # start

    async def start(self, exec_id: str) -> int:
        """Start init or an exec; its pid."""
        process = self.processes.find(exec_id)
        async with process.lock:
            if isinstance(process, Exec):
                await self._start_exec(process)
            else:
                await self._start_init(process)
        return process.pid

    async def _start_init(self, init: Process) -> None:
        init.move(Verb.START)
        try:
            async with self._starting:
                await self.task.runtime.start()
        except EngineError:
            init.state = State.CREATED
            raise
        init.stdio.accept_input()
        self.task.events.started(init.pid)

    async def _start_exec(self, process: Exec) -> None:
        process.move(Verb.START)
        try:
            await process.start(self._loop, self._reaper, self.task.runtime, self.task.bundle)
        except BaseException:
            self.processes.close(process)
            process.move(Verb.EXIT)
            process.exit.set(Exit(0, _FAILED_START, time.time_ns()))
            raise
        process.stdio.accept_input()
        self.task.exits.follow_exec(process)
        self.task.events.exec_started(process.name, process.pid)

    async def exec(self, request: shim_pb2.ExecProcessRequest) -> None:
        """Register a further process; `start` starts it."""
        init = self.processes.find("")
        self.processes.check_new(request.exec_id)
        init.move(Verb.EXEC)
        stdio_request = self._stdio_request(request, self.task.owner)
        stdio = await open_stdio(self._loop, self._reaper, stdio_request)
        try:
            self.processes.check_new(request.exec_id)
            process = Exec(request.exec_id, stdio_request, stdio, request.spec.value)
        except EngineError:
            stdio.close()
            raise
        self.processes.execs[request.exec_id] = process
        self.task.events.exec_added(request.exec_id)

    # end

    def _init_ended(self) -> None:
        self.task.oom.check()
        self._cleared = self._loop.spawn(self._clear_away())

    async def _clear_away(self) -> None:
        """What init left behind ends, and the runtime forgets the container."""
        if not self.task.own_pids:
            await self.task.cgroup.kill(self._loop, signals.SIGKILL)
        async with self._starting:  # a start whose process has ended at once still clears up after itself
            await self.task.runtime.delete()

    async def wait(self, exec_id: str) -> Exit:
        """Its exit, once announced."""
        return await self.processes.find(exec_id).exit

    def state(self, exec_id: str) -> shim_pb2.StateResponse:
        """From memory; never waits."""
        return self.processes.find(exec_id).describe(self.id, str(self.task.bundle))

    async def delete(self, exec_id: str) -> Exit:
        process = self.processes.find(exec_id)
        if process.state is State.CREATED and process is self.processes.init:
            self._reaper.signal(process.pid, signals.SIGKILL)
            await process.exit
        async with process.lock:
            process.move(Verb.DELETE)
            if isinstance(process, Exec):
                return self._delete_exec(process)
            return await self._delete_init(process)

    def _delete_exec(self, process: Exec) -> Exit:
        del self.processes.execs[process.name]
        self.processes.close(process)
        return process.exit.result() if process.exit.done else Exit(0, 0, 0)

    async def _delete_init(self, init: Process) -> Exit:
        try:
            await self._cleared
        except EngineError as error:
            log.warning("runtime delete failed, forcing it id=%s error=%s", self.id, error)
            await self.task.runtime.delete(force=True)
        with suppress(OSError):  # only where a mount had to spread to the host
            linux.umount(str(self.task.bundle / "rootfs"), linux.MNT_DETACH)
        self.task.oom.close()
        self.processes.close_all()
        ended = await init.exit
        self.task.events.deleted(ended)
        return ended
