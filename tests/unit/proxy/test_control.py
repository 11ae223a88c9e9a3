"""The control service, by grpc's own client."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos.proxy.v1 import proxy_pb2, proxy_pb2_grpc
from tests.harness.wait import until


@pytest.fixture
def spelling() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}->127.0.0.1:9/tcp"


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture
def process(tmp_path: Path, spelling: str) -> Iterator[subprocess.Popen[bytes]]:
    """A proxy of a container, with its control socket at tmp_path/s."""
    command = ["-m", "services.proxy", "-container-id", "c0ffee", "-control", str(tmp_path / "s"), spelling]
    with subprocess.Popen([sys.executable, *command]) as process:
        until(lambda: answers(tmp_path / "s"), "the control socket is there")
        yield process
        process.kill()


@pytest.fixture
def channel(process: subprocess.Popen[bytes], tmp_path: Path) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"unix://{tmp_path}/s", options=[("grpc.default_authority", "localhost")]) as channel:
        yield channel


def imports(process: subprocess.Popen[bytes]) -> str:
    return Path(f"/proc/{process.pid}/maps").read_text()


def test_lists_what_is_published(channel: grpc.Channel, spelling: str) -> None:
    reply = proxy_pb2_grpc.ProxyStub(channel).List(Empty(), timeout=10)
    (forward,) = reply.forwards
    assert reply.container_id == "c0ffee"
    assert f"{forward.binding.host_ip}:{forward.binding.host_port}->127.0.0.1:9/tcp" == spelling


def test_removes_a_binding(channel: grpc.Channel) -> None:
    stub = proxy_pb2_grpc.ProxyStub(channel)
    (forward,) = stub.List(Empty(), timeout=10).forwards
    stub.Remove(proxy_pb2.RemoveRequest(binding=forward.binding), timeout=10)
    assert not stub.List(Empty(), timeout=10).forwards
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((forward.binding.host_ip, forward.binding.host_port), timeout=10)


def test_removing_what_is_not_there_fails(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        proxy_pb2_grpc.ProxyStub(channel).Remove(proxy_pb2.RemoveRequest(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_shutdown_ends_the_process(channel: grpc.Channel, process: subprocess.Popen[bytes]) -> None:
    proxy_pb2_grpc.ProxyStub(channel).Shutdown(Empty(), timeout=10)
    assert process.wait(10) == 0


def test_unknown_methods_are_unimplemented(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/proxy.v1.Proxy/Fly")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_health_and_reflection(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    (reply,) = stub.ServerReflectionInfo(iter([asked]), timeout=10)
    assert "proxy.v1.Proxy" in [service.name for service in reply.list_services_response.service]
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol="proxy.v1.Proxy")
    (reply,) = stub.ServerReflectionInfo(iter([asked]), timeout=10)
    assert len(reply.file_descriptor_response.file_descriptor_proto) == 2


def test_grpc_is_loaded_at_the_first_call_only(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(tmp_path / "s"))
        assert "protobuf" not in imports(process)
    with grpc.insecure_channel(f"unix://{tmp_path}/s", options=[("grpc.default_authority", "localhost")]) as channel:
        proxy_pb2_grpc.ProxyStub(channel).List(Empty(), timeout=10)
    assert "protobuf" in imports(process) or "google" in imports(process)
