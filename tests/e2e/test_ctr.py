"""`ctr` looks at what docker runs: the seam below dockerd speaks containerd's own protocol."""

import json
import shutil
import subprocess

import pytest

from tests.harness.cli import Docker
from tests.harness.engine import Engine
from tests.harness.wait import until

pytestmark = pytest.mark.skipif(not shutil.which("ctr"), reason="ctr is missing: apt-get install containerd")


def ctr(engine: Engine, *words: str, namespace: str = "moby") -> str:
    address = engine.exec / "containerd" / "containerd.sock"
    command = ["ctr", "--address", str(address), "--namespace", namespace, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def test_version(engine: Engine) -> None:
    assert "Server:" in ctr(engine, "version")


def test_namespaces(docker: Docker, engine: Engine) -> None:
    docker.ok("create", "busybox")
    docker.ok("run", "--rm", "busybox", "true")
    assert "moby" in ctr(engine, "namespaces", "ls", "-q").split()


def test_containers_and_tasks(docker: Docker, engine: Engine, name: str) -> None:
    container = docker.ok("run", "-d", "--name", name, "busybox", "sleep", "600")
    assert container in ctr(engine, "containers", "ls", "-q").split()
    row = next(line.split() for line in ctr(engine, "tasks", "ls").splitlines() if line.startswith(container))
    assert row == [container, docker.inspect(name, "{{.State.Pid}}"), "RUNNING"]
    assert docker.inspect(name, "{{.State.Pid}}") in ctr(engine, "tasks", "ps", container)


def test_the_spec(docker: Docker, engine: Engine, name: str) -> None:
    container = docker.ok("run", "-d", "--name", name, "busybox", "sleep", "600")
    info = json.loads(ctr(engine, "containers", "info", container))
    assert info["Spec"]["process"]["args"] == ["sleep", "600"]
    assert set(info["Spec"]["process"]["capabilities"]) >= {"bounding", "effective", "permitted"}


def test_a_kill_below_docker_is_noticed(docker: Docker, engine: Engine, name: str) -> None:
    container = docker.ok("run", "-d", "--name", name, "busybox", "sleep", "600")
    ctr(engine, "tasks", "kill", "-s", "SIGKILL", container)
    until(lambda: docker.inspect(name, "{{.State.Status}} {{.State.ExitCode}}") == "exited 137", "docker knows")


def test_an_exec_beside_docker(docker: Docker, engine: Engine, name: str) -> None:
    container = docker.ok("run", "-d", "--name", name, "busybox", "sleep", "600")
    assert ctr(engine, "tasks", "exec", "--exec-id", "beside", container, "echo", "inside") == "inside\n"
    assert docker.ok("exec", name, "echo", "still") == "still"


@pytest.mark.ours
def test_a_namespace_of_its_own(docker: Docker, engine: Engine) -> None:
    from tests.harness.engine import busybox

    ctr(engine, "images", "import", str(busybox()), namespace="mine")
    try:
        reference = ctr(engine, "images", "ls", "-q", namespace="mine").split()[0]
        out = ctr(engine, "run", "--rm", reference, "one", "echo", "by ctr", namespace="mine")
        assert out == "by ctr\n"
        assert docker.ok("ps", "-aq") == ""
    finally:
        ctr(engine, "images", "rm", reference, namespace="mine")
