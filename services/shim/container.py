"""One container of a shim: its init and its execs, behind the verbs of containerd.task.v3.

The wire is api.py's; here are the rules: what may follow what, what is published when, and what an exit waits for.
An exit is on disk before anybody is told; it is told once its output has been taken, or two seconds later, after the
reply to its start and, for init, after the exits of the execs. `runc delete` runs meanwhile.
"""

import logging
import signal as signals
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from google.protobuf import any_pb2

from protos import typeurl
from protos.containerd.runtime.task.v3 import shim_pb2
from protos.containerd.types.runc.options import oci_pb2
from protos.containerd.types.task import task_pb2
from protos.errdefs import AlreadyExists, EngineError, FailedPrecondition, NotFound, Unimplemented
from services.shim import linux
from services.shim.cgroup import cgroup_of, has_own_pid_namespace
from services.shim.events import Events, Publish
from services.shim.loop import Future, Lock, Loop
from services.shim.process import record
from services.shim.process.exec import Exec
from services.shim.process.init import Init
from services.shim.process.process import Process
from services.shim.process.rootfs import Mount
from services.shim.process.state import State, Verb
from services.shim.reaper import Exit, Reaper
from services.shim.runtime import Runtime, Settings
from services.shim.streams.factory import Request, open_stdio

log = logging.getLogger("container")

_FAILED_START: Final = 255
_FLUSH_SECONDS: Final = 60.0
_EXECS_SECONDS: Final = 2.5


class Container:
    """One per shim process; exec id "" is the init process. Raises protos.errdefs errors.

    `publish(topic, event)` queues and never blocks. Made after the fork from a zygote.
    """

    def __init__(self, loop: Loop, namespace: str, publish: Publish) -> None:
        self._loop = loop
        self._reaper = Reaper(loop)
        self._namespace = namespace
        self._publish = publish
        self._id = ""
        self._init: Init | None = None
        self._execs: dict[str, Exec] = {}
        self._creating = False
        self._starting = Lock()
        self._unquiet: list[Future[None]] = []

    @property
    def id(self) -> str:
        """Its id; "" before create."""
        return self._id

    @property
    def pid(self) -> int:
        """The init process's pid; 0 before create."""
        return self._init.pid if self._init else 0

    @property
    def running(self) -> bool:
        """Init was started, and has not ended."""
        return self._init is not None and self._init.state is State.RUNNING

    # the life of init

    async def create(self, request: shim_pb2.CreateTaskRequest) -> int:
        """Have the runtime create the container; the init's pid."""
        if self._init is not None or self._creating:
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
        self._id, self._bundle = request.id, Path(request.bundle)
        self._events = Events(self._publish, request.id)
        settings = Settings.of(options, self._bundle)
        settings.save(self._bundle)
        self._runtime = Runtime(self._reaper, settings, request.id, self._bundle)
        self._owner = (options.io_uid, options.io_gid)
        mounts = [Mount(each.type, each.source, each.target, tuple(each.options)) for each in request.rootfs]
        stdio_request = self._stdio_request(request)
        init = Init("", stdio_request, await open_stdio(self._loop, self._reaper, stdio_request))
        try:
            await init.create(self._loop, self._reaper, self._runtime, self._bundle, mounts)
            self._look_at(init)
        except BaseException:
            init.close()
            if init.pid:
                await self._undo_create(init)
            raise
        self._init = init
        self._events.created(request, init.pid)
        self._oom = self._cgroup.watch_oom(self._loop, self._events.out_of_memory)
        init.died.when_done(lambda: self._follow(self._init_ended(init)))
        return init.pid

    def _look_at(self, init: Init) -> None:
        """What can be known only while it lives."""
        try:
            self._cgroup = cgroup_of(init.pid)
            self._own_pids = has_own_pid_namespace(init.pid)
        except OSError as error:
            raise FailedPrecondition(f"init of container {self._id} ended before it was started") from error

    async def _undo_create(self, init: Init) -> None:
        self._reaper.signal(init.pid, signals.SIGKILL)
        with suppress(EngineError):
            await self._runtime.delete(force=True)

    def _stdio_request(self, request: shim_pb2.CreateTaskRequest | shim_pb2.ExecProcessRequest) -> Request:
        return Request(
            self._namespace, self._id, request.stdin, request.stdout, request.stderr, request.terminal, self._owner
        )

    async def start(self, exec_id: str) -> int:
        """Start init or an exec; its pid."""
        process = self._find(exec_id)
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
                await self._runtime.start()
        except EngineError:
            init.state = State.CREATED
            raise
        init.stdio.accept_input()
        self._events.started(init.pid)

    async def _start_exec(self, process: Exec) -> None:
        process.move(Verb.START)
        try:
            await process.start(self._loop, self._reaper, self._runtime, self._bundle)
        except BaseException:
            self._close(process)
            process.move(Verb.EXIT)
            process.exit.set(Exit(0, _FAILED_START, time.time_ns()))
            raise
        process.stdio.accept_input()
        process.died.when_done(lambda: self._follow(self._exec_ended(process)))
        self._events.exec_started(process.name, process.pid)

    async def exec(self, request: shim_pb2.ExecProcessRequest) -> None:
        """Register a further process; `start` starts it."""
        init = self._find("")
        if request.exec_id in self._execs or not request.exec_id:
            raise AlreadyExists(f"exec {request.exec_id} exists already: already exists")
        init.move(Verb.EXEC)
        stdio_request = self._stdio_request(request)
        stdio = await open_stdio(self._loop, self._reaper, stdio_request)
        try:
            if request.exec_id in self._execs:
                raise AlreadyExists(f"exec {request.exec_id} exists already: already exists")
            self._execs[request.exec_id] = Exec(request.exec_id, stdio_request, stdio, request.spec.value)
        except EngineError:
            stdio.close()
            raise
        self._events.exec_added(request.exec_id)

    # exits

    def _follow(self, work: Any) -> None:
        """Run a coroutine whose failure nobody awaits."""
        future = self._loop.spawn(work)

        def check() -> None:
            try:
                future.result()
            except Exception:
                log.exception("an exit could not be handled id=%s", self._id)

        future.when_done(check)

    async def _exec_ended(self, process: Exec) -> None:
        await process.drain(self._loop)
        await self._announce_exit(process)

    async def _init_ended(self, init: Init) -> None:
        """Whatever goes wrong on the way, the exit is told."""
        try:
            record.write(self._bundle, init.died.result())
        except OSError as error:
            log.error("exit is not on disk id=%s error=%s", self._id, error)
        self._oom.check()
        self._gone = self._loop.spawn(self._clear_away())
        await init.drain(self._loop)
        await self._await_execs()
        await self._announce_exit(init)

    async def _await_execs(self) -> None:
        """Execs end with init, and are told of first; one that does not end is not waited for."""
        until = time.monotonic() + _EXECS_SECONDS
        for process in [each for each in self._execs.values() if each.state is State.RUNNING]:
            with suppress(TimeoutError):
                await self._loop.timeout(process.exit, max(0.0, until - time.monotonic()))

    async def _announce_exit(self, process: Process) -> None:
        async with process.lock:  # the event of its start goes first
            ended = process.died.result()
            process.move(Verb.EXIT)
            self._events.exited(process.name, ended)
            process.exit.set(ended)

    async def _clear_away(self) -> None:
        """What init left behind ends, and the runtime forgets the container."""
        if not self._own_pids:
            await self._cgroup.kill(self._loop, signals.SIGKILL)
        async with self._starting:  # a start whose process has ended at once still clears up after itself
            await self._runtime.delete()

    async def delete(self, exec_id: str) -> Exit:
        process = self._find(exec_id)
        if process.state is State.CREATED and process is self._init:
            self._reaper.signal(process.pid, signals.SIGKILL)
            await process.exit
        async with process.lock:
            process.move(Verb.DELETE)
            if isinstance(process, Exec):
                return self._delete_exec(process)
            return await self._delete_init(process)

    def _delete_exec(self, process: Exec) -> Exit:
        del self._execs[process.name]
        self._close(process)
        return process.exit.result() if process.exit.done else Exit(0, 0, 0)

    async def _delete_init(self, init: Process) -> Exit:
        try:
            await self._gone
        except EngineError as error:
            log.warning("runtime delete failed, forcing it id=%s error=%s", self._id, error)
            await self._runtime.delete(force=True)
        with suppress(OSError):  # only where a mount had to spread to the host
            linux.umount(str(self._bundle / "rootfs"), linux.MNT_DETACH)
        self._oom.close()
        for process in (*self._execs.values(), init):
            self._close(process)
        self._execs.clear()
        ended = await init.exit
        self._events.deleted(ended)
        return ended

    # verbs on what runs

    async def kill(self, exec_id: str, signal: int, everyone: bool) -> None:
        process = self._find(exec_id)
        if process.died.done or process.state is State.DELETED:
            raise NotFound("process already finished: not found")
        if process is not self._init:
            process.signal(self._reaper, signal)
        elif everyone:
            await self._cgroup.kill(self._loop, signal)
        elif self._runtime.native:
            process.signal(self._reaper, signal)
            if signal == signals.SIGKILL:
                self._cgroup.thaw()
        else:
            await self._runtime.kill(signal, everyone)

    async def pause(self) -> None:
        init = self._find("")
        async with init.lock:
            init.move(Verb.PAUSE)
            try:
                await self._runtime.pause()
            except EngineError:
                if init.state is State.PAUSING:
                    init.state = State.RUNNING
                raise
            if init.state is State.PAUSING:
                init.move(Verb.PAUSED)
        self._events.paused()

    async def resume(self) -> None:
        init = self._find("")
        async with init.lock:
            before = init.state
            init.move(Verb.RESUME)
            try:
                await self._runtime.resume()
            except EngineError:
                init.state = before
                raise
        self._events.resumed()

    async def resize(self, exec_id: str, width: int, height: int) -> None:
        self._find(exec_id).resize(width, height)

    async def close_io(self, exec_id: str) -> None:
        """No more input comes from the caller's side."""
        self._find(exec_id).stdio.close_stdin()

    async def update(self, resources: dict[str, Any]) -> None:
        """Apply an OCI LinuxResources document."""
        self._find("").move(Verb.UPDATE)
        await self._runtime.update(resources)

    async def stats(self) -> any_pb2.Any:
        init = self._find("")
        if init.died.done:
            raise NotFound(f"task {self._id} has ended: not found")
        return typeurl.from_message(self._cgroup.metrics())

    async def pids(self) -> list[task_pb2.ProcessInfo]:
        self._find("")
        named = {each.pid: each.name for each in self._execs.values()}
        return [_process_info(pid, named.get(pid, "")) for pid in self._cgroup.pids()]

    async def wait(self, exec_id: str) -> Exit:
        """Its exit, once announced."""
        return await self._find(exec_id).exit

    def state(self, exec_id: str) -> shim_pb2.StateResponse:
        """From memory; never waits."""
        return self._find(exec_id).describe(self._id, str(self._bundle))

    async def drained(self) -> None:
        """Return once attached clients have all their output, or do not take it; to be awaited before the shim ends."""
        for quiet in self._unquiet:
            try:
                await self._loop.timeout(quiet, _FLUSH_SECONDS)
            except TimeoutError:
                log.warning("attached clients do not take their output id=%s", self._id)

    def _close(self, process: Process) -> None:
        """Its clients may not have everything yet."""
        process.close()
        self._unquiet = [each for each in (*self._unquiet, process.stdio.quiet) if not each.done]

    def _find(self, exec_id: str) -> Process:
        process = self._execs.get(exec_id) if exec_id else self._init
        if process is None:
            raise NotFound(f"process {exec_id or 'init'} of container {self._id} does not exist: not found")
        return process


def _process_info(pid: int, exec_id: str) -> task_pb2.ProcessInfo:
    info = task_pb2.ProcessInfo(pid=pid)
    if exec_id:
        info.info.CopyFrom(typeurl.from_message(oci_pb2.ProcessDetails(exec_id=exec_id)))
    return info
