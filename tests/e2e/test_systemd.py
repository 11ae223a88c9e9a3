"""The units of deploy/systemd under a real systemd: activation, readiness, the watchdog, what outlives a restart."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import image
from tests.harness.machine import SYSTEMD, Systemd
from tests.harness.wait import until

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
pytestmark = [
    pytest.mark.ours,
    pytest.mark.skipif(not SYSTEMD.exists(), reason="systemd is not installed"),
]


def units() -> dict[str, str]:
    """All of ours, and what they name."""
    files = {f"/etc/systemd/system/{unit.name}": unit.read_text() for unit in UNITS.iterdir()}
    short = "[Unit]\nStartLimitBurst=0\n[Service]\nWatchdogSec=6\nRestartSec=100ms\n"
    files["/etc/systemd/system/docker.service.d/short.conf"] = short
    files["/opt/dockerd/bin"] = f"-> {Path(sys.executable).parent}"
    return files


@pytest.fixture(scope="module")
def machine() -> Iterator[Systemd]:
    files = units()
    files["/etc/docker/daemon.json"] = '{"labels": ["by=systemd"]}'
    files["/etc/docker/other.json"] = '{"labels": ["by=reload"]}'
    with Systemd(files, "docker.socket") as machine:
        yield machine


@pytest.fixture
def box(machine: Systemd) -> Iterator[str]:
    machine.ok("docker", "load", "-q", stdin=image.archive())
    machine.ok("docker", "run", "-d", "--stop-timeout=1", "--name", "box", "busybox", "sleep", "600")
    yield "box"
    machine.ok("docker", "rm", "-f", "box")


def running(machine: Systemd) -> bool:
    return machine.show("docker.service", "ActiveState") == "active"


def pid_of(machine: Systemd, container: str) -> str:
    return machine.ok("docker", "inspect", "-f", "{{.State.Status}} {{.State.Pid}}", container)


def test_the_first_client_starts_it(machine: Systemd) -> None:
    assert machine.show("docker.service", "ActiveState") == "inactive"
    assert machine.ok("stat", "-c", "%U %G %a", "/run/docker.sock") == "root docker 660"
    assert machine.ok("docker", "info", "-f", "{{.Labels}}") == "[by=systemd]"
    assert running(machine)
    assert machine.ok("cat", f"/proc/{machine.show('docker.service', 'MainPID')}/comm") == "dockerd"


def test_a_killed_daemon_is_started_again(machine: Systemd, box: str) -> None:
    before = machine.show("docker.service", "MainPID")
    lives = pid_of(machine, box)
    assert lives.startswith("running")
    machine.ok("systemctl", "kill", "--kill-who=main", "--signal=KILL", "docker.service")
    until(lambda: running(machine) and machine.show("docker.service", "MainPID") != before, "systemd restarts it", 30)
    assert pid_of(machine, box) == lives


def test_a_stuck_daemon_is_started_again(machine: Systemd, box: str) -> None:
    before = machine.show("docker.service", "MainPID")
    lives = pid_of(machine, box)
    machine.ok("kill", f"-{signal.SIGSTOP}", before)
    until(lambda: running(machine) and machine.show("docker.service", "MainPID") != before, "the watchdog bites", 40)
    assert pid_of(machine, box) == lives
    assert "Watchdog timeout" in machine.said()


def test_a_waiting_daemon_is_left_alone(machine: Systemd) -> None:
    machine.ok("docker", "version")
    before = machine.show("docker.service", "WatchdogTimestampMonotonic")
    until(lambda: machine.show("docker.service", "WatchdogTimestampMonotonic") != before, "it shows signs of life")


def test_a_reload_is_survived(machine: Systemd) -> None:
    before = machine.show("docker.service", "MainPID")
    machine.ok("cp", "/etc/docker/other.json", "/etc/docker/daemon.json")
    machine.ok("systemctl", "reload", "docker.service")
    until(lambda: machine.ok("docker", "info", "-f", "{{.Labels}}") == "[by=reload]", "the file is read again")
    assert running(machine) and machine.show("docker.service", "MainPID") == before


def test_a_stop_stops_containers_and_leaves_the_socket(machine: Systemd, box: str) -> None:
    machine.ok("systemctl", "stop", "docker.service")
    assert machine.show("docker.service", "Result") == "success"
    assert machine.show("docker.socket", "ActiveState") == "active"
    assert pid_of(machine, box) == "exited 0"  # which has started it again
    assert running(machine)


def test_containerd_can_be_a_unit_of_its_own() -> None:
    text = (UNITS / "docker-containerd.service").read_text()
    asked = [line.removeprefix("#   ") for line in text.splitlines() if line.startswith("#   ")]
    files = units() | {"/etc/systemd/system/docker.service.d/override.conf": "\n".join(asked)}
    with Systemd(files, "docker.socket") as machine:
        machine.ok("docker", "load", "-q", stdin=image.archive())
        machine.ok("docker", "run", "-d", "--name", "box", "busybox", "sleep", "600")
        lives = pid_of(machine, "box")
        before, dockerd = (machine.show(f"{unit}.service", "MainPID") for unit in ("docker-containerd", "docker"))
        machine.ok("systemctl", "kill", "--kill-who=main", "--signal=KILL", "docker-containerd.service")
        other = ("0", before)
        until(lambda: machine.show("docker-containerd.service", "MainPID") not in other, "systemd restarts it", 30)
        until(lambda: machine("docker", "exec", "box", "true").returncode == 0, "dockerd has found it again", 30)
        assert pid_of(machine, "box") == lives
        assert machine.show("docker.service", "MainPID") == dockerd
        assert "eth0" in machine.ok("docker", "exec", "box", "ip", "addr")
