"""`--exec-opt native.cgroupdriver=systemd` under a real systemd: scopes, limits, slices, and the end of a dead shim."""

import json
from collections.abc import Callable, Iterator

import pytest

from deploy import image
from tests.e2e.test_systemd import units
from tests.harness.engine import Engine
from tests.harness.machine import SYSTEMD, Systemd
from tests.harness.wait import until

pytestmark = pytest.mark.ours
SLEEP = ("--pids-limit", "50", "busybox", "sleep", "600")
INVALID = 'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"'


@pytest.fixture(scope="module")
def machine() -> Iterator[Systemd]:
    if not SYSTEMD.exists():
        pytest.skip("systemd is not installed")
    settings = {"exec-opts": ["native.cgroupdriver=systemd"]}
    with Systemd(units() | {"/etc/docker/daemon.json": json.dumps(settings)}, "docker.socket") as machine:
        machine.ok("docker", "load", "-q", stdin=image.archive())
        yield machine


@pytest.fixture
def box(machine: Systemd) -> Iterator[str]:
    """The id of a running container."""
    yield machine.ok("docker", "run", "-d", "--name", "box", "-m", "64m", *SLEEP)
    machine.ok("docker", "rm", "-f", "box")


def groups(machine: Systemd, *flags: str) -> set[str]:
    """Where systemd's hierarchies, and those of v2, have a new container."""
    words = ["run", "--rm", "--cgroupns", "host", *flags, "busybox", "cat", "/proc/self/cgroup"]
    lines = machine.ok("docker", *words).splitlines()
    named = [line.split(":", 2) for line in lines]
    return {path for _, controller, path in named if controller in ("", "name=systemd", "pids")}


def test_info_names_the_driver(machine: Systemd) -> None:
    assert machine.ok("docker", "info", "-f", "{{.CgroupDriver}}") == "systemd"


def test_a_container_is_a_scope(machine: Systemd, box: str) -> None:
    scope = f"docker-{box}.scope"
    assert machine.show(scope, "ActiveState") == "active"
    assert machine.show(scope, "Slice") == "system.slice"
    assert machine.show(scope, "TasksMax") == "50"
    paths = groups(machine)
    assert len(paths) == 1 and next(iter(paths)).startswith("/system.slice/docker-")


def test_limits_are_systemds_too(machine: Systemd, box: str) -> None:
    machine.ok("docker", "update", "-m", "32m", "--memory-swap", "32m", "box")
    names = [machine.show(f"docker-{box}.scope", name) for name in ("MemoryLimit", "MemoryMax")]
    assert str(32 << 20) in names
    assert "/ 32MiB" in machine.ok("docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", "box")


def test_it_can_be_paused(machine: Systemd, box: str) -> None:
    machine.ok("docker", "pause", "box")
    assert machine.ok("docker", "inspect", "-f", "{{.State.Status}}", box) == "paused"
    machine.ok("docker", "unpause", "box")
    machine.ok("docker", "exec", "box", "true")


def test_a_slice_can_be_asked_for(machine: Systemd) -> None:
    paths = groups(machine, "--cgroup-parent", "own-er.slice")
    assert len(paths) == 1 and next(iter(paths)).startswith("/own.slice/own-er.slice/docker-")
    refused = machine("docker", "run", "--rm", "--cgroup-parent", "/own", "busybox", "true")
    assert refused.returncode == 125 and INVALID in refused.stderr.decode()


def test_nothing_survives_a_dead_shim(machine: Systemd, box: str) -> None:
    machine.ok("docker", "exec", "-d", "box", "sleep", "601")
    scope = f"system.slice/docker-{box}.scope/cgroup.procs"
    procs = [f"/sys/fs/cgroup/{hierarchy}{scope}" for hierarchy in ("systemd/", "")]  # of v1, of v2
    until(lambda: len(machine("cat", *procs).stdout.split()) == 2, "the exec runs")
    shim = machine.ok("sh", "-c", f"cat /proc/$(docker inspect -f '{{{{.State.Pid}}}}' {box})/status | grep ^PPid")
    machine.ok("kill", "-9", shim.split()[1])
    until(lambda: machine.ok("docker", "inspect", "-f", "{{.State.Status}}", box) == "exited", "it is told", 20)
    until(lambda: machine.show(f"docker-{box}.scope", "ActiveState") == "inactive", "the scope is gone", 20)
    assert machine("pgrep", "-f", "sleep 601").returncode == 1


def test_what_cannot_be_is_refused_at_the_start(fresh: Callable[..., Engine]) -> None:
    engine = fresh(start=False)
    code, said = engine.fails_to_start("--exec-opt", "native.cgroupdriver=systemd")  # with the --cgroup-parent /name
    assert code == 1 and INVALID in said
    code, said = engine.fails_to_start("--exec-opt", "native.cgroupdriver=systemd", "--cgroup-parent", "own.slice")
    assert code == 1 and "systemd for native.cgroupdriver=systemd: it is not what runs this machine" in said
    code, said = engine.fails_to_start("--exec-opt", "native.cgroupdriver=lxc")
    assert code == 1 and "native.cgroupdriver option lxc not supported" in said
