"""The shim's gRPC server against grpc's own client, and against clients that are no good."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos import errdefs
from protos.containerd.runtime.task.v3 import shim_pb2, shim_pb2_grpc
from protos.containerd.types.task import task_pb2
from services.shim import api
from services.shim.api import Service
from services.shim.bootstrap import listen
from services.shim.loop import Future, Loop
from services.shim.reaper import Exit
from services.shim.server import Server
from tests.harness.wait import until

ID = "box"


class Processes:
    """A container made of memory."""

    def __init__(self) -> None:
        self.exit: Future[Exit] = Future()
        self.killed: list[tuple[str, int, bool]] = []
        self.created: Future[int] = Future()

    async def create(self, request: shim_pb2.CreateTaskRequest) -> int:
        return await self.created

    async def start(self, exec_id: str) -> int:
        raise errdefs.Conflict(f"process {exec_id or 'init'} runs: 100 % — früh")

    async def exec(self, request: shim_pb2.ExecProcessRequest) -> None:
        raise ValueError("a bug")

    async def kill(self, exec_id: str, signal: int, everyone: bool) -> None:
        self.killed.append((exec_id, signal, everyone))

    async def pause(self) -> None: ...

    async def resume(self) -> None: ...

    async def resize(self, exec_id: str, width: int, height: int) -> None: ...

    async def close_io(self, exec_id: str) -> None: ...

    async def update(self, resources: dict[str, Any]) -> None: ...

    async def stats(self) -> any_pb2.Any:
        return any_pb2.Any(type_url="x", value=b"y" * (8 << 20))

    async def pids(self) -> list[task_pb2.ProcessInfo]:
        return [task_pb2.ProcessInfo(pid=pid) for pid in range(1, 30001)]

    async def wait(self, exec_id: str) -> Exit:
        return await self.exit

    async def delete(self, exec_id: str) -> Exit:
        return Exit(7, 3, 1_500_000_000)

    def state(self, exec_id: str) -> shim_pb2.StateResponse:
        return shim_pb2.StateResponse(id=ID, pid=7)


class Running:
    """A server in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "shim.sock"
        self.listener = listen(self.path)
        self.loop = Loop()
        self.processes = Processes()
        self.ended: Future[None] = Future()
        self.bundle_gone = False
        self.service = Service(
            self.loop, ID, self.processes, self.processes, lambda: self.ended.set(None), lambda: self.bundle_gone
        )
        self.server = Server(self.loop, self.listener, self.service.methods(), lambda: None)
        self.reader, self.writer = os.pipe()
        self.loop.add_reader(self.reader, self._told)
        self.work: list[Any] = []
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    def do(self, work: Any) -> None:
        """Run something in the server's thread."""
        self.work.append(work)
        os.write(self.writer, b".")

    def _told(self) -> None:
        os.read(self.reader, 1)
        self.work.pop(0)()

    def close(self) -> None:
        self.do(self.loop.stop)
        self.thread.join()
        self.server.close()
        self.loop.close()
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    running.processes.created.set(7)
    yield running
    running.close()


@pytest.fixture
def channel(running: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(
        f"unix:{running.path}", options=[("grpc.max_receive_message_length", 16 << 20)]
    ) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> shim_pb2_grpc.TaskStub:
    return shim_pb2_grpc.TaskStub(channel)


def test_call_is_answered(stub: shim_pb2_grpc.TaskStub) -> None:
    assert stub.Create(shim_pb2.CreateTaskRequest(id=ID), timeout=10).pid == 7
    answer = stub.Delete(shim_pb2.DeleteRequest(id=ID), timeout=10)
    assert (answer.pid, answer.exit_status, answer.exited_at.ToNanoseconds()) == (7, 3, 1_500_000_000)


def test_ended_task_without_a_bundle_ends_the_shim(
    running: Running, stub: shim_pb2_grpc.TaskStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_LOOK", 0.01)
    stub.Create(shim_pb2.CreateTaskRequest(id=ID), timeout=10)
    running.bundle_gone = True
    stub.State(shim_pb2.StateRequest(id=ID), timeout=10)
    assert not running.ended.done, "its process runs"
    running.do(lambda: running.processes.exit.set(Exit(7, 0, 1)))
    until(lambda: running.ended.done, "the shim ends")


def test_ended_task_with_a_bundle_keeps_the_shim(
    running: Running, stub: shim_pb2_grpc.TaskStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_LOOK", 0.01)
    stub.Create(shim_pb2.CreateTaskRequest(id=ID), timeout=10)
    running.do(lambda: running.processes.exit.set(Exit(7, 0, 1)))
    stub.Wait(shim_pb2.WaitRequest(id=ID), timeout=10)
    for _ in range(10):
        stub.State(shim_pb2.StateRequest(id=ID), timeout=10)
    assert not running.ended.done
    running.bundle_gone = True
    until(lambda: running.ended.done, "it ends with its bundle")


def test_error_keeps_status_and_text(stub: shim_pb2_grpc.TaskStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Start(shim_pb2.StartRequest(id=ID), timeout=10)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == "process init runs: 100 % — früh: conflict"


def test_bug_is_unknown_error(stub: shim_pb2_grpc.TaskStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Exec(shim_pb2.ExecProcessRequest(id=ID, exec_id="e"), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert caught.value.details() == "ValueError: a bug"


def test_foreign_id_is_refused(stub: shim_pb2_grpc.TaskStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.State(shim_pb2.StateRequest(id="other"), timeout=10)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_unknown_method_is_unimplemented(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/containerd.task.v3.Task/Fly")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_malformed_request_is_invalid(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/containerd.task.v3.Task/State")(b"\xff\xff\xff", timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_long_replies_pass(stub: shim_pb2_grpc.TaskStub) -> None:
    """Beyond the windows of stream and connection, several at once."""
    calls = [stub.Stats.future(shim_pb2.StatsRequest(id=ID), timeout=20) for _ in range(4)]
    assert [len(call.result().stats.value) for call in calls] == [8 << 20] * 4
    assert len(stub.Pids(shim_pb2.PidsRequest(id=ID), timeout=10).processes) == 30000


def test_long_request_passes(stub: shim_pb2_grpc.TaskStub) -> None:
    request = shim_pb2.UpdateTaskRequest(id=ID, resources=any_pb2.Any(value=b'{"a": "%s"}' % (b"x" * (12 << 20))))
    stub.Update(request, timeout=20)


def test_too_long_request_is_refused(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/containerd.task.v3.Task/State")(bytes(17 << 20), timeout=20)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_waits_do_not_hold_others_up(running: Running, stub: shim_pb2_grpc.TaskStub) -> None:
    waits = [stub.Wait.future(shim_pb2.WaitRequest(id=ID, exec_id=str(number % 3))) for number in range(300)]
    assert stub.State(shim_pb2.StateRequest(id=ID), timeout=10).pid == 7
    running.do(lambda: running.processes.exit.set(Exit(7, 42, 1)))
    assert [wait.result(timeout=10).exit_status for wait in waits] == [42] * 300


def test_deadline_ends_a_call(running: Running, stub: shim_pb2_grpc.TaskStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Wait(shim_pb2.WaitRequest(id=ID), timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    until(lambda: not any(running.service._waiters.values()), "the wait is forgotten")


def test_cancelled_wait_is_forgotten(running: Running, stub: shim_pb2_grpc.TaskStub) -> None:
    wait = stub.Wait.future(shim_pb2.WaitRequest(id=ID))
    until(lambda: any(running.service._waiters.values()), "the wait began")
    wait.cancel()
    until(lambda: not any(running.service._waiters.values()), "the wait is forgotten")


def test_clients_share_nothing(running: Running, stub: shim_pb2_grpc.TaskStub) -> None:
    for _ in range(20):
        with grpc.insecure_channel(f"unix:{running.path}", options=[("grpc.use_local_subchannel_pool", 1)]) as other:
            assert shim_pb2_grpc.TaskStub(other).State(shim_pb2.StateRequest(id=ID), timeout=10).pid == 7
    until(lambda: len(running.server.connections) <= 1, "closed connections are forgotten")


def test_connect_awaits_create(tmp_path: Path) -> None:
    running = Running(tmp_path)
    with grpc.insecure_channel(f"unix:{running.path}") as channel:
        stub = shim_pb2_grpc.TaskStub(channel)
        created = stub.Create.future(shim_pb2.CreateTaskRequest(id=ID))
        until(lambda: running.service.created, "create is under way")
        connected = stub.Connect.future(shim_pb2.ConnectRequest(id=ID))
        running.do(lambda: running.processes.created.set(7))
        assert connected.result(timeout=10).task_pid == 7
        assert created.result(timeout=10).pid == 7
    running.close()


def test_shutdown_spares_a_task(running: Running, stub: shim_pb2_grpc.TaskStub) -> None:
    stub.Create(shim_pb2.CreateTaskRequest(id=ID), timeout=10)
    stub.Shutdown(shim_pb2.ShutdownRequest(id=ID), timeout=10)
    stub.State(shim_pb2.StateRequest(id=ID), timeout=10)
    assert not running.ended.done
    stub.Delete(shim_pb2.DeleteRequest(id=ID), timeout=10)
    stub.Shutdown(shim_pb2.ShutdownRequest(id=ID), timeout=10)
    until(lambda: running.ended.done, "the shim is told to end")


def test_closing_answers_what_began(running: Running, stub: shim_pb2_grpc.TaskStub) -> None:
    wait = stub.Wait.future(shim_pb2.WaitRequest(id=ID))
    until(lambda: any(running.service._waiters.values()), "the wait began")
    running.do(running.server.close)
    running.do(lambda: running.processes.exit.set(Exit(7, 5, 1)))
    assert wait.result(timeout=10).exit_status == 5
    until(lambda: not running.server.connections, "the connection ends")


def test_health_is_serving(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "containerd.task.v3.Task"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_describes_the_service(channel: grpc.Channel) -> None:
    reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="containerd.task.v3.Task"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such.Thing"),
    ]
    listed, described, missing = reflection.ServerReflectionInfo(iter(requests), timeout=10)
    assert "containerd.task.v3.Task" in [each.name for each in listed.list_services_response.service]
    assert any(b"CreateTaskRequest" in file for file in described.file_descriptor_response.file_descriptor_proto)
    assert missing.error_response.error_code == 5


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", bytes(64), PREFACE + bytes(64)])
def test_garbage_ends_only_its_connection(running: Running, stub: shim_pb2_grpc.TaskStub, garbage: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(running.path))
        client.sendall(garbage)
        client.settimeout(10)
        while client.recv(4096):
            pass
    assert stub.State(shim_pb2.StateRequest(id=ID), timeout=10).pid == 7


def test_client_that_vanishes_cancels(running: Running) -> None:
    channel = grpc.insecure_channel(f"unix:{running.path}", options=[("grpc.use_local_subchannel_pool", 1)])
    wait = shim_pb2_grpc.TaskStub(channel).Wait.future(shim_pb2.WaitRequest(id=ID))
    until(lambda: any(running.service._waiters.values()), "the wait began")
    channel.close()
    until(lambda: not any(running.service._waiters.values()), "the wait is forgotten")
    assert wait.code() is grpc.StatusCode.CANCELLED
