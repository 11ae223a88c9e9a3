"""The short form: one engine, one container, seen by the kernel."""

from pathlib import Path

from tests.harness.cli import Docker
from tests.harness.engine import Engine


def test_container_is_limited_and_confined(engine: Engine, docker: Docker, name: str) -> None:
    limits = ["-m", "32m", "--cpus", "0.5", "--pids-limit", "50"]
    docker.ok("run", "-d", "--name", name, *limits, "busybox", "sleep", "1000")
    group = Path("/sys/fs/cgroup", engine.name, docker.ok("inspect", "-f", "{{.Id}}", name))
    wanted = {"memory.max": str(32 << 20), "cpu.max": "50000 100000", "pids.max": "50"}
    assert {file: (group / file).read_text().strip() for file in wanted} == wanted
    shown = docker.ok("exec", name, "cat", "/proc/1/attr/current", "/proc/1/cgroup").splitlines()
    assert shown == ["docker-default (enforce)", "0::/"]
    docker.ok("kill", name)
    assert docker.ok("wait", name) == "137"
