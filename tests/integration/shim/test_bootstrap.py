"""`start` and `delete` as containerd 2.x executes them, and the shim that `start` leaves behind, by grpc's client.

The harness does what containerd does: a bundle with a fifo `log`, the environment, the flags, the standard input.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, empty_pb2

from protos import typeurl
from protos.containerd.events import task_pb2 as task_events_pb2
from protos.containerd.runtime.bootstrap.v1 import bootstrap_pb2
from protos.containerd.runtime.task.v3 import shim_pb2, shim_pb2_grpc
from protos.containerd.services.events.v1 import events_pb2, events_pb2_grpc
from protos.containerd.types import introspection_pb2
from protos.containerd.types.runc.options import oci_pb2
from tests.harness.wait import until
from tests.integration.shim.box import alive

SHIM = Path(sys.executable).parent / "docker-containerd-shim"
NAMESPACES = [{"type": each} for each in ("pid", "network", "ipc", "uts", "mount")]
CAPABILITIES = ["CAP_KILL", "CAP_DAC_OVERRIDE"]


class Containerd(events_pb2_grpc.EventsServicer):
    """The part of a containerd that a shim sees: a bundle, and a server for its events."""

    def __init__(self, home: Path, command: list[str]) -> None:
        self.home = home
        self.address = home / "containerd.sock"
        self.bundle = home / "bundle"
        self.id = f"box-{os.getpid()}-{home.name[-12:]}"
        self.events: list[tuple[str, Any]] = []
        self.shims: list[int] = []
        (self.bundle / "rootfs").mkdir(parents=True)
        self._fill(command)
        os.mkfifo(self.bundle / "log")
        self.log = os.open(self.bundle / "log", os.O_RDWR | os.O_NONBLOCK)
        self.server: grpc.Server | None = None
        self.serve()

    def _fill(self, command: list[str]) -> None:
        bin_ = self.bundle / "rootfs/bin"
        bin_.mkdir()
        (bin_ / "busybox").write_bytes(Path("/bin/busybox").read_bytes())
        (bin_ / "busybox").chmod(0o755)
        for name in ("sh", "sleep", "echo"):
            (bin_ / name).symlink_to("busybox")
        (self.bundle / "rootfs/proc").mkdir()
        self.spec = {
            "ociVersion": "1.0.2",
            "process": {"args": command, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
                        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES)},
            "root": {"path": "rootfs"},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"namespaces": NAMESPACES, "cgroupsPath": f"/{self.id}"},
        }
        (self.bundle / "config.json").write_text(json.dumps(self.spec))

    def serve(self) -> None:
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        events_pb2_grpc.add_EventsServicer_to_server(self, self.server)
        self.server.add_insecure_port(f"unix:{self.address}")
        self.server.start()

    def vanish(self) -> None:
        assert self.server is not None
        self.server.stop(0).wait()
        self.address.unlink(missing_ok=True)

    def Forward(self, request: events_pb2.ForwardRequest, context: Any) -> empty_pb2.Empty:
        assert request.envelope.namespace == "tests"
        self.events.append((request.envelope.topic, request.envelope.event))
        return empty_pb2.Empty()

    def topics(self) -> list[str]:
        return [topic for topic, _ in self.events]

    def run(self, action: str, given: bytes = b"", flags: bool = True) -> bytes:
        command = [SHIM]
        if flags:
            command += ["-namespace", "tests", "-address", self.address, "-publish-binary", "/usr/bin/containerd"]
            command += ["-id", self.id]
        if action == "delete":
            command += ["-bundle", self.bundle]
        environment = os.environ | {
            "TTRPC_ADDRESS": f"{self.address}.ttrpc", "GRPC_ADDRESS": str(self.address), "NAMESPACE": "tests",
            "MAX_SHIM_VERSION": "3",
        }
        done = subprocess.run(
            [*command, action], cwd=self.bundle, env=environment, input=given, capture_output=True, timeout=30
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == b""
        return done.stdout

    def start(self, given: bytes = b"", flags: bool = True) -> "Shim":
        result = json.loads(self.run("start", given, flags))
        assert (result["version"], result["protocol"]) == (3, "grpc")
        assert result["address"].startswith("unix:///")
        shim = Shim(self, result["address"].removeprefix("unix://"))
        self.shims.append(shim.pid)
        return shim

    def close(self) -> None:
        """Also after a test that failed half-way."""
        left = [pid for pid in self.shims if alive(pid)]
        for pid in left:
            os.kill(pid, 9)
        if left:
            self.run("delete")
        self.vanish()
        os.close(self.log)


class Shim:
    def __init__(self, containerd: Containerd, path: str) -> None:
        self.id = containerd.id
        self.path = path
        self.channel = grpc.insecure_channel(f"unix:{path}", options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub = shim_pb2_grpc.TaskStub(self.channel)
        self.pid = self.stub.Connect(shim_pb2.ConnectRequest(id=self.id), timeout=10).shim_pid
        self.request = shim_pb2.CreateTaskRequest(
            id=self.id, bundle=str(containerd.bundle), options=typeurl.from_message(oci_pb2.Options())
        )

    def create(self) -> int:
        return int(self.stub.Create(self.request, timeout=20).pid)

    def start(self) -> None:
        self.stub.Start(shim_pb2.StartRequest(id=self.id), timeout=20)

    def wait(self) -> int:
        return int(self.stub.Wait(shim_pb2.WaitRequest(id=self.id), timeout=20).exit_status)

    def delete(self) -> int:
        return int(self.stub.Delete(shim_pb2.DeleteRequest(id=self.id), timeout=20).exit_status)

    def shut_down(self) -> None:
        self.stub.Shutdown(shim_pb2.ShutdownRequest(id=self.id), timeout=20)
        self.channel.close()
        until(lambda: not alive(self.pid), "the shim ends")
        assert not Path(self.path).exists()


@pytest.fixture
def containerd(tmp_path: Path) -> Iterator[Containerd]:
    containerd = Containerd(tmp_path, ["sh", "-c", "exit 7"])
    yield containerd
    containerd.close()


def change(containerd: Containerd, command: list[str]) -> None:
    containerd.spec["process"]["args"] = command  # type: ignore[index]
    (containerd.bundle / "config.json").write_text(json.dumps(containerd.spec))


def test_life_of_a_container(containerd: Containerd) -> None:
    shim = containerd.start(typeurl.from_message(oci_pb2.Options()).SerializeToString())
    pid = shim.create()
    assert alive(pid)
    waited: list[int] = []
    waiter = threading.Thread(target=lambda: waited.append(shim.wait()))
    waiter.start()
    shim.start()
    waiter.join()
    assert waited == [7]
    assert shim.delete() == 7
    shim.shut_down()
    until(lambda: len(containerd.events) == 4, "all events are there")
    assert containerd.topics() == ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
    event = task_events_pb2.TaskExit()
    assert typeurl.to_message(containerd.events[2][1], event)
    assert (event.id, event.pid, event.exit_status) == (containerd.id, pid, 7)


def test_bootstrap_parameters_say_it_all(containerd: Containerd) -> None:
    params = bootstrap_pb2.BootstrapParams(
        instance_id=containerd.id, namespace="tests", containerd_grpc_address=str(containerd.address),
        containerd_version="2.4.0", log_level=bootstrap_pb2.LOG_LEVEL_DEBUG, socket_dir=str(containerd.home / "socks"),
    )
    shim = containerd.start(params.SerializeToString(), flags=False)
    assert Path(shim.path).parent == containerd.home / "socks"
    with pytest.raises(grpc.RpcError, match="not found"):
        shim.stub.State(shim_pb2.StateRequest(id=shim.id), timeout=10)
    assert shim.create()
    assert b"level=debug" in os.read(containerd.log, 1 << 16)
    assert shim.delete() == 137
    shim.shut_down()


def test_shim_keeps_nothing_of_its_starter(containerd: Containerd) -> None:
    shim = containerd.start()
    assert os.getsid(shim.pid) == shim.pid
    links = [str(Path(f"/proc/{shim.pid}/fd/{number}").readlink()) for number in (0, 1, 2)]
    assert links == ["/dev/null"] * 3
    assert Path(f"/proc/{shim.pid}/cmdline").read_bytes().split(b"\0")[0] == b"docker-containerd-shim"
    shim.shut_down()


def test_second_start_of_a_living_shim_is_refused(containerd: Containerd) -> None:
    shim = containerd.start()
    with pytest.raises(AssertionError, match="another shim serves"):
        containerd.run("start")
    shim.shut_down()


def test_events_wait_for_a_containerd_that_is_gone(containerd: Containerd) -> None:
    change(containerd, ["sh", "-c", "sleep 0.2; exit 9"])
    shim = containerd.start()
    shim.create()
    until(lambda: containerd.topics() == ["/tasks/create"], "the first event comes")
    containerd.vanish()
    shim.start()
    assert shim.wait() == 9
    containerd.serve()
    # The first comes again where the answer to it was lost.
    wanted = ["/tasks/create", "/tasks/start", "/tasks/exit"]
    until(lambda: list(dict.fromkeys(containerd.topics())) == wanted, "the others come late")
    shim.delete()
    shim.shut_down()


def test_delete_after_a_shim_was_killed(containerd: Containerd) -> None:
    change(containerd, ["sleep", "1000"])
    shim = containerd.start()
    pid = shim.create()
    shim.start()
    os.kill(shim.pid, 9)
    until(lambda: not alive(shim.pid), "the shim is dead")
    answer = shim_pb2.DeleteResponse.FromString(containerd.run("delete"))
    assert (answer.pid, answer.exit_status) == (pid, 137)
    assert answer.exited_at.seconds > 0
    assert not alive(pid)
    assert not (containerd.bundle / "records" / containerd.id).exists()
    again = containerd.start()
    assert again.create()
    again.delete()
    again.shut_down()


def test_delete_tells_the_exit_that_was_written(containerd: Containerd) -> None:
    shim = containerd.start()
    shim.create()
    shim.start()
    assert shim.wait() == 7
    os.kill(shim.pid, 9)
    until(lambda: not alive(shim.pid), "the shim is dead")
    assert shim_pb2.DeleteResponse.FromString(containerd.run("delete")).exit_status == 7


def test_delete_without_a_task(containerd: Containerd) -> None:
    assert shim_pb2.DeleteResponse.FromString(containerd.run("delete")).exit_status == 137


def test_info_describes_shim_and_runtime() -> None:
    options = any_pb2.Any(type_url="containerd.runc.v1.Options")
    done = subprocess.run([SHIM, "-info"], input=options.SerializeToString(), capture_output=True, check=True)
    info = introspection_pb2.RuntimeInfo.FromString(done.stdout)
    assert info.name == "docker-containerd-shim"
    assert info.options.type_url == options.type_url
    assert "namespaces" in json.loads(info.features.value)["linux"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["start"], "-id is missing"),
        (["-id", "x", "start"], "-namespace is missing"),
        (["-wrong", "start"], "flag provided but not defined: -wrong"),
        (["-id"], "flag needs an argument: -id"),
        (["fly"], "unknown action 'fly'"),
        (["streams"], "streams takes the path of its configuration"),
    ],
)
def test_bad_command_lines(words: list[str], said: str) -> None:
    done = subprocess.run([SHIM, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr


def test_older_containerd_is_refused(tmp_path: Path) -> None:
    command = [SHIM, "-namespace", "n", "-id", "x", "-address", tmp_path / "c.sock", "start"]
    environment = os.environ | {"MAX_SHIM_VERSION": "2"}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "version 3" in done.stderr
