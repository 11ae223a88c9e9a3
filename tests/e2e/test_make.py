"""What `make up` and `make down` run, beside the default engine: from nothing, again, after a crash, to the end."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import leftovers
from tests.harness.engine import ROOTS
from tests.harness.netns import Namespace

DEPLOY = Path(__file__).parents[2] / "deploy"
pytestmark = pytest.mark.ours


class Place:
    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="e2e-make-", dir=ROOTS))
        self.network = Namespace(self.root.name)
        self.pidfile, self.socket = self.root / "pid", self.root / "d.sock"

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        roots = ["--data-root", str(self.root / "data"), "--exec-root", str(self.root / "exec")]
        flags = [*roots, "-H", f"unix://{self.socket}", "--pidfile", str(self.pidfile)] if script == "up" else []
        env = {**os.environ, "DOCKERD_STATE": str(self.root / "state"), "DOCKERD_LOG": str(self.root / "log")}
        words = self.network.command(str(DEPLOY / script), *flags)
        return subprocess.run(words, capture_output=True, text=True, timeout=120, env=env, stdin=subprocess.DEVNULL)

    def close(self) -> None:
        leftovers.sweep(self.root.name, self.root, self.network)
        self.network.delete()
        shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    yield place
    place.close()


def test_up_again_after_a_crash_and_down(place: Place) -> None:
    first = place.run("up")
    assert first.returncode == 0, first.stderr
    assert "busybox:latest is loaded" in first.stdout and "dockerd" in first.stdout and "Try:" in first.stdout
    again = place.run("up")
    assert "is up already" in again.stdout and "loaded" not in again.stdout
    pid = int(place.pidfile.read_text())
    assert int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == 1
    os.kill(pid, signal.SIGKILL)
    crashed = place.run("up")
    assert crashed.returncode == 0, crashed.stderr
    assert int(place.pidfile.read_text()) != pid
    assert "dockerd" in place.run("tree").stdout
    down = place.run("down")
    assert (down.returncode, down.stdout) == (0, "dockerd has ended; nothing is left\n"), down.stderr
    left = [leftovers.cmdline(pid) for pid in leftovers.processes(place.network.inode())]
    assert left == []


def test_down_without_an_engine(place: Place) -> None:
    assert "dockerd is not running" in place.run("down").stderr
