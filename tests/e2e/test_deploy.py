"""The one container of deploy/Dockerfile: what it is made of, and its entrypoint as process 1 of a machine."""

import re
import sys
from pathlib import Path

import pytest

from deploy import image
from tests.harness.machine import Machine
from tests.harness.wait import until

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
pytestmark = pytest.mark.ours


def test_what_is_copied_is_there() -> None:
    copied = re.findall(r"^COPY (\S+) \S+$", DOCKERFILE, re.MULTILINE)
    assert copied and all((ROOT / each).exists() for each in copied)


def test_it_installs_what_the_engine_runs_with() -> None:
    table = re.search(r"^declare -A RUN=\((.*)\)$", (ROOT / "deploy" / "install").read_text(), re.MULTILINE)
    assert table
    needed = set(re.findall(r"\]=(\S+)", table[1])) - {"busybox-static"}  # which is an image for the first try
    assert needed <= set(re.findall(r"[a-z0-9-]+", DOCKERFILE))


def test_the_entrypoint_serves_and_stops() -> None:
    files = {
        "/usr/local/bin/entrypoint": (ROOT / "deploy" / "entrypoint").read_text(),
        "/opt/dockerd/bin": f"-> {Path(sys.executable).parent}",
    }
    words = re.search(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)
    assert words
    entrypoint = [each.strip(' "') for each in words[1].strip("[]").split(",")]
    with Machine(files, *entrypoint, "-H", "unix:///var/run/docker.sock", "-H", "tcp://0.0.0.0:2375") as machine:
        until(lambda: "completed initialization" in machine.said(), "dockerd is ready", 30)
        machine.ok("docker", "load", "-q", stdin=image.archive())
        assert machine.ok("docker", "run", "--rm", "busybox", "echo", "alive") == "alive"
        machine.ok("docker", "-H", "tcp://127.0.0.1:2375", "run", "-d", "--stop-timeout=1", "busybox", "sleep", "600")
        machine.ok("kill", "-TERM", "1")  # as `docker stop` does
        until(lambda: not Path(f"/proc/{machine.init}").exists(), "process 1 has ended", 30)
        assert "stopping" in machine.said()
