"""The short form: one engine on device-mapper, one container, seen by the kernel."""

from collections.abc import Callable
from pathlib import Path

from services.containerd.snapshots.devicemapper.mapper import ready
from tests.harness.engine import Engine

STORAGE = ["--storage-driver", "devicemapper", "--storage-opt", "dm.fs=ext4"]
SMALL = ["dm.basesize=64m", "dm.loopdatasize=1g", "dm.loopmetadatasize=16m"]


def test_container_is_limited_confined_and_stored(fresh: Callable[..., Engine], name: str) -> None:
    assert ready() == ""
    engine = fresh(*STORAGE, *(word for option in SMALL for word in ("--storage-opt", option)))
    docker = engine.docker
    limits = ["-m", "32m", "--cpus", "0.5", "--pids-limit", "50"]
    docker.ok("run", "-d", "--name", name, *limits, "busybox", "sleep", "1000")
    group = Path("/sys/fs/cgroup", engine.name, docker.ok("inspect", "-f", "{{.Id}}", name))
    wanted = {"memory.max": str(32 << 20), "cpu.max": "50000 100000", "pids.max": "50"}
    assert {file: (group / file).read_text().strip() for file in wanted} == wanted
    shown = docker.ok("exec", name, "cat", "/proc/1/attr/current", "/proc/1/cgroup", "/proc/mounts").splitlines()
    assert shown[:2] == ["docker-default (enforce)", "0::/"]
    assert shown[2].startswith("/dev/mapper/docker-")
    docker.ok("kill", name)
    assert docker.ok("wait", name) == "137"
