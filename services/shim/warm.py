"""The code paths of a shim's wire, run in memory before the fork.

CPython writes its inline caches into code objects as they run: a page written before the fork stays shared by all
shims. Nothing is left behind: no descriptor, no signal handler, no process.
"""

import socket
from collections.abc import Callable
from typing import Any, Final

from google.protobuf import any_pb2, empty_pb2
from google.protobuf.message import Message

from protos import errdefs
from protos.containerd.events import task_pb2 as task_events_pb2
from protos.containerd.runtime.task.v3 import shim_pb2
from protos.containerd.services.events.v1 import events_pb2
from protos.containerd.types.task import task_pb2
from protos.unary import Caller
from services.shim.api import SERVICE, Service
from services.shim.connection import Call, Method
from services.shim.loop import Future, Loop
from services.shim.publisher import Publisher
from services.shim.reaper import Exit
from services.shim.server import Server

_ROUNDS: Final = 30
_ID: Final = "warm"
_CALLS: Final[tuple[tuple[str, Message], ...]] = (
    ("Create", shim_pb2.CreateTaskRequest(id=_ID, bundle="/", stdout="binary:///x")),
    ("Connect", shim_pb2.ConnectRequest(id=_ID)),
    ("State", shim_pb2.StateRequest(id=_ID)),
    ("Start", shim_pb2.StartRequest(id=_ID)),
    ("Pids", shim_pb2.PidsRequest(id=_ID)),
    ("Kill", shim_pb2.KillRequest(id=_ID, signal=9)),
    ("Delete", shim_pb2.DeleteRequest(id=_ID)),
)


class _Processes:
    """A container that is nothing but its answers."""

    def __init__(self) -> None:
        self._exit: Future[Exit] = Future()

    async def create(self, request: shim_pb2.CreateTaskRequest) -> int:
        return 1

    async def start(self, exec_id: str) -> int:
        return 1

    async def exec(self, request: shim_pb2.ExecProcessRequest) -> None: ...

    async def kill(self, exec_id: str, signal: int, everyone: bool) -> None:
        raise errdefs.NotFound("process already finished: not found")

    async def pause(self) -> None: ...

    async def resume(self) -> None: ...

    async def resize(self, exec_id: str, width: int, height: int) -> None: ...

    async def close_io(self, exec_id: str) -> None: ...

    async def update(self, resources: dict[str, Any]) -> None: ...

    async def stats(self) -> any_pb2.Any:
        return any_pb2.Any()

    async def pids(self) -> list[task_pb2.ProcessInfo]:
        return [task_pb2.ProcessInfo(pid=1)]

    async def wait(self, exec_id: str) -> Exit:
        return await self._exit

    async def delete(self, exec_id: str) -> Exit:
        self._exit.set(Exit(1, 0, 1))
        return await self._exit

    def state(self, exec_id: str) -> shim_pb2.StateResponse:
        return shim_pb2.StateResponse(id=_ID, pid=1, status=task_pb2.RUNNING)


class _Events(Publisher):
    """A publisher whose server is at the other end of a pair of sockets."""

    def __init__(self, loop: Loop, server: Server) -> None:
        super().__init__(loop, "", "warm")
        self._server = server

    def _open(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self._server.adopt(theirs)
        ours.setblocking(False)
        return ours


def run(left: Callable[[], bool]) -> None:
    """Break off where `left` says that nobody will need it."""
    loop = Loop()
    quiet, idle = socket.socketpair()
    try:
        for _ in range(_ROUNDS):
            if left():
                return
            _live(loop, idle)
    finally:
        loop.close()
        quiet.close()
        idle.close()


def _live(loop: Loop, idle: socket.socket) -> None:
    """A shim's life: containerd's calls on one connection, the shim's events on another."""
    processes = _Processes()
    service = Service(loop, _ID, processes, processes, lambda: None)
    methods = service.methods() | {
        "/containerd.services.events.v1.Events/Forward": Method(events_pb2.ForwardRequest, _taken),
    }
    server = Server(loop, idle.dup(), methods, lambda: None)
    publisher = _Events(loop, server)
    ours, theirs = socket.socketpair()
    server.adopt(theirs)
    ours.setblocking(False)
    with ours:
        caller = Caller()
        for verb, request in _CALLS:
            caller.call(f"/{SERVICE}/{verb}", request.SerializeToString(), timeout=10)
            _converse(loop, caller, ours)
        publisher.publish("/tasks/start", task_events_pb2.TaskStart(container_id=_ID, pid=1))
        publisher.publish("/tasks/exit", task_events_pb2.TaskExit(container_id=_ID, id=_ID, pid=1))
        loop.run_until(publisher.drained())
    publisher.close()
    server.close()
    while server.connections:
        _turn(loop)


async def _taken(request: events_pb2.ForwardRequest, call: Call) -> Message:
    return empty_pb2.Empty()


def _converse(loop: Loop, caller: Caller, ours: socket.socket) -> None:
    while len(caller):
        if data := caller.take():
            ours.send(data)
        _turn(loop)
        try:
            caller.receive(ours.recv(1 << 16))
        except BlockingIOError:
            continue


def _turn(loop: Loop) -> None:
    turned: Future[None] = Future()
    loop.call_soon(lambda: turned.set(None))
    loop.run_until(turned)
