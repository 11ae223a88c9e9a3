"""AppArmor's `docker-default`: loaded, and keeping containers from what the kernel shows of the machine."""

import subprocess

from tests.harness.cli import Docker
from tests.harness.engine import Engine


def test_containers_are_confined(docker: Docker, name: str) -> None:
    assert "name=apparmor" in docker.ok("info", "-f", "{{.SecurityOptions}}")
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "1000")
    assert docker.ok("exec", name, "cat", "/proc/1/attr/current") == "docker-default (enforce)"
    assert docker.ok("exec", name, "cat", "/proc/self/attr/current") == "docker-default (enforce)"
    assert docker.ok("inspect", "-f", "{{.AppArmorProfile}}", name) == "docker-default"
    status = subprocess.run(["aa-status"], capture_output=True, text=True).stdout
    assert "docker-default" in status


def test_profile_forbids_mounts(docker: Docker) -> None:
    """With the capability for it, the profile alone stands in the way."""
    mount = ["mount", "-t", "tmpfs", "tmpfs", "/dev/shm"]
    done = docker("run", "--rm", "--cap-add", "SYS_ADMIN", "busybox", *mount)
    assert done.code and "ermission denied" in done.err, str(done)
    docker.ok("run", "--rm", "--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined", "busybox", *mount)


def test_profile_is_chosen(engine: Engine, docker: Docker, name: str) -> None:
    source = engine.root / "profile"
    source.write_text(f"profile {name} flags=(attach_disconnected) {{\n  file,\n  deny /etc/passwd r,\n}}\n")
    subprocess.run(["apparmor_parser", "-Kr", str(source)], check=True)
    chosen = ["--security-opt", f"apparmor={name}"]
    assert docker.ok("run", "--rm", *chosen, "busybox", "cat", "/proc/self/attr/current") == f"{name} (enforce)"
    assert "ermission denied" in docker.fails("run", "--rm", *chosen, "busybox", "cat", "/etc/passwd")
    assert "apparmor" in docker.fails("run", "--rm", "--security-opt", "apparmor=missing", "busybox", "true")


def test_privileged_and_unconfined(docker: Docker, name: str) -> None:
    show = ["busybox", "cat", "/proc/self/attr/current"]
    assert docker.ok("run", "--rm", "--privileged", *show) == "unconfined"
    assert docker.ok("run", "--rm", "--security-opt", "apparmor=unconfined", *show) == "unconfined"
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "1000")
    assert docker.ok("exec", "--privileged", name, "cat", "/proc/self/attr/current") == "unconfined"
