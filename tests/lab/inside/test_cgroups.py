"""Control groups version 2, as the kernel keeps them: limits, numbers, pausing, killing, want of memory."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.harness.cli import Docker
from tests.harness.engine import Engine
from tests.harness.http import API
from tests.harness.wait import until

ROOT = Path("/sys/fs/cgroup")


def group(engine: Engine, docker: Docker, name: str) -> Path:
    return ROOT / engine.name / docker.ok("inspect", "-f", "{{.Id}}", name)


def actions(docker: Docker, name: str) -> list[str]:
    words = ["--since", "1h", "--until", f"{time.time():.9f}", "--filter", f"container={name}", "--format", "json"]
    return [json.loads(line)["Action"] for line in docker.ok("events", *words).splitlines()]


def test_info_tells_version(docker: Docker) -> None:
    assert docker.ok("info", "-f", "{{.CgroupVersion}} {{.CgroupDriver}} {{.SwapLimit}}") == "2 cgroupfs true"
    assert "name=cgroupns" in docker.ok("info", "-f", "{{.SecurityOptions}}")


def test_limits_reach_kernel(engine: Engine, docker: Docker, name: str) -> None:
    docker.ok(
        "run", "-d", "--name", name, "-m", "32m", "--memory-swap", "48m", "--memory-reservation", "16m",
        "--cpus", "0.5", "--cpu-shares", "512", "--cpuset-cpus", "0", "--pids-limit", "50", "busybox", "sleep", "1000",
    )
    wanted = {
        "memory.max": str(32 << 20), "memory.swap.max": str(16 << 20), "memory.low": str(16 << 20),
        "cpu.max": "50000 100000", "cpu.weight": "20", "cpuset.cpus": "0", "pids.max": "50",
    }
    place = group(engine, docker, name)
    assert {file: (place / file).read_text().strip() for file in wanted} == wanted
    docker.ok("update", "-m", "64m", "--memory-swap", "-1", "--cpus", "1.5", name)
    wanted = {"memory.max": str(64 << 20), "memory.swap.max": "max", "cpu.max": "150000 100000"}
    assert {file: (place / file).read_text().strip() for file in wanted} == wanted


def test_device_rates_reach_kernel(engine: Engine, docker: Docker, name: str) -> None:
    subprocess.run(["modprobe", "loop"], check=True)
    loop = Path("/dev/loop0")
    docker.ok("run", "-d", "--name", name, "--device-write-bps", f"{loop}:1mb", "busybox", "sleep", "1000")
    device = loop.stat().st_rdev
    line = f"{os.major(device)}:{os.minor(device)} rbps=max wbps={1 << 20} riops=max wiops=max"
    assert (group(engine, docker, name) / "io.max").read_text().strip() == line


def test_group_is_private_unless_asked(engine: Engine, docker: Docker) -> None:
    assert docker.ok("run", "--rm", "busybox", "cat", "/proc/self/cgroup") == "0::/"
    shared = docker.ok("run", "--rm", "--cgroupns", "host", "busybox", "cat", "/proc/self/cgroup")
    assert shared.startswith(f"0::/{engine.name}/")


def test_stats_count(docker: Docker, api: API, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "-m", "32m", "busybox", "sh", "-c", "while :; do :; done")
    found = api.get(f"/containers/{name}/stats", stream=0)
    assert found["memory_stats"]["limit"] == 32 << 20
    assert found["memory_stats"]["stats"]["anon"] > 0
    assert found["pids_stats"]["current"] == 1
    assert found["cpu_stats"]["cpu_usage"]["total_usage"] > found["precpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert "32MiB" in docker.ok("stats", "--no-stream", name)


def test_pause_freezes(engine: Engine, docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "1000")
    place = group(engine, docker, name)
    docker.ok("pause", name)
    assert "frozen 1" in (place / "cgroup.events").read_text()
    assert docker.ok("inspect", "-f", "{{.State.Status}}", name) == "paused"
    docker.ok("unpause", name)
    assert "frozen 0" in (place / "cgroup.events").read_text()
    docker.ok("pause", name)
    docker.ok("kill", name)
    assert docker.ok("wait", name) == "137"


def test_removal_takes_group(engine: Engine, docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "1000")
    place = group(engine, docker, name)
    assert place.is_dir()
    docker.ok("rm", "-f", name)
    until(lambda: not place.exists(), "the group goes")


def test_shared_pid_namespace_is_killed_whole(engine: Engine, docker: Docker, name: str) -> None:
    """Without a pid namespace of its own nobody but the control group knows who belongs to a container."""
    several = "for i in 1 2 3; do sleep 1000 & done; wait"
    docker.ok("run", "-d", "--name", name, "--pid", "host", "busybox", "sh", "-c", several)
    place = group(engine, docker, name)
    pids = until(lambda: len(found := (place / "cgroup.procs").read_text().split()) == 4 and found, "all of them run")
    docker.ok("kill", name)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "all of them end")


def test_want_of_memory_is_told(docker: Docker, name: str) -> None:
    done = docker("run", "--name", name, "-m", "16m", "busybox", "sh", "-c", "x=$(yes | head -c 60000000); echo $x")
    assert done.code == 137, str(done)
    assert docker.ok("inspect", "-f", "{{.State.OOMKilled}}", name) == "true"
    assert "oom" in actions(docker, name)


def test_want_of_memory_of_a_child(docker: Docker, name: str) -> None:
    """The container goes on, the notice comes while it does."""
    greedy = "(x=$(yes | head -c 60000000); echo $x); sleep 1000"
    docker.ok("run", "-d", "--name", name, "-m", "16m", "busybox", "sh", "-c", greedy)
    until(lambda: "oom" in actions(docker, name), "the oom event")
    assert docker.ok("inspect", "-f", "{{.State.Running}}", name) == "true"


def test_groups_of_the_host_by_flag(fresh: Callable[..., Engine], name: str) -> None:
    engine = fresh("--default-cgroupns-mode", "host", "--add-runtime", "crun=/usr/bin/crun")
    docker = engine.docker
    own = docker.ok("run", "--rm", "busybox", "cat", "/proc/self/cgroup")
    assert own.startswith(f"0::/{engine.name}/")
    assert docker.ok("run", "--rm", "--cgroupns", "private", "busybox", "cat", "/proc/self/cgroup") == "0::/"
    docker.ok(
        "run", "-d", "--runtime", "crun", "--name", name, "-m", "32m", "--cpus", "0.5", "--pids-limit", "50",
        "busybox", "sleep", "1000",
    )
    place = group(engine, docker, name)
    read = {file: (place / file).read_text().strip() for file in ("memory.max", "cpu.max", "pids.max")}
    assert read == {"memory.max": str(32 << 20), "cpu.max": "50000 100000", "pids.max": "50"}
    assert docker.ok("exec", name, "cat", "/proc/1/attr/current") == "docker-default (enforce)"
    docker.ok("pause", name)
    docker.ok("unpause", name)
    assert "32MiB" in docker.ok("stats", "--no-stream", name)
    docker.ok("rm", "-f", name)
