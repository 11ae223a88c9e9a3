"""What a daemon may find at its start, or run into: it says so in one line, loses nothing else, and lives on."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.harness.wait import until

pytestmark = pytest.mark.ours
Fresh = Callable[..., Engine]
BAD = (b"", b'{"State": {"Run', b"[1, 2]", b'{"State": 7, "Config": "x", "ID": null}', b"\xff\x00", None)
SPOILT = [("config.v2.json", content) for content in BAD]


def test_pid_files_of_others_are_no_obstacle(fresh: Fresh) -> None:
    engine = fresh(start=False, reference=False)
    for content in (str(os.getpid()), "999999999", "no number", ""):
        engine.pidfile.write_text(content)
        engine.start()
        assert engine.pidfile.read_text() == str(engine.pid)
        engine.kill()
    engine.start()
    assert engine.stop() == 0 and not engine.pidfile.exists() and not engine.remains()


def test_second_daemon_on_the_same_root_is_refused(fresh: Fresh) -> None:
    engine = fresh(reference=False)
    engine.docker.ok("run", "-d", "--name", "runs", "busybox", "sleep", "600")
    other = ["--exec-root", str(engine.root / "x"), "--pidfile", str(engine.root / "p2"), "-H", str(engine.root / "s2")]
    code, out = engine.fails_to_start(*other)
    assert code == 1 and str(engine.data) in out and str(engine.pid) in out and "Traceback" not in out
    assert engine.docker.ok("exec", "runs", "echo", "on") == "on"
    engine.docker.ok("rm", "-f", "runs")
    assert engine.stop() == 0 and not engine.remains()


def test_corrupt_state_costs_its_container_alone(fresh: Fresh) -> None:
    engine = fresh(reference=False)
    docker = engine.docker
    docker.ok("create", "--name", "good", "busybox", "true")
    spoilt = [(docker.ok("create", "busybox", "true"), file, content) for file, content in SPOILT]
    running = docker.ok("run", "-d", "busybox", "sleep", "600")
    engine.kill()
    for bad, file, content in [*spoilt, (running, "config.v2.json", b"{")]:
        path = engine.data / "containers" / bad / file
        path.unlink() if content is None else path.write_bytes(content)
    engine.start()
    assert docker.ok("ps", "-a", "--format", "{{.Names}}") == "good"
    assert docker.ok("start", "good") == "good"
    lines = [line for line in engine.log.read_text().splitlines() if "unreadable" in line and "level=error" in line]
    for bad in (*(bad for bad, _, _ in spoilt), running):
        assert [line for line in lines if bad in line] and (engine.data / "containers" / bad).exists()
    assert "Traceback" not in engine.log.read_text()


def test_broken_host_config_keeps_its_container_listed(fresh: Fresh) -> None:
    engine = fresh(reference=False)
    docker = engine.docker
    stopped = docker.ok("create", "--name", "stopped", "busybox", "true")
    running = docker.ok("run", "-d", "--name", "running", "--restart", "always", "busybox", "sleep", "600")
    newer = docker.ok("create", "--name", "newer", "-m", "64m", "busybox", "true")
    engine.kill()
    for identity, content in ((stopped, b'{"Memory": "much"}'), (running, b"{")):
        (engine.data / "containers" / identity / "hostconfig.json").write_bytes(content)
    file = engine.data / "containers" / newer / "hostconfig.json"
    file.write_text(file.read_text()[:-1] + ', "FromTheFuture": {"x": [1]}}')
    engine.start()
    assert sorted(docker.ok("ps", "-a", "--format", "{{.Names}}").split()) == ["newer", "running", "stopped"]
    error = docker.fails("start", "stopped")
    assert "hostconfig.json" in error and "Memory: Input should be a valid integer" in error
    assert docker.ok("exec", "running", "echo", "on") == "on"
    docker.ok("stop", "-t", "0", "running")
    assert "hostconfig.json" in docker.fails("start", "running")
    docker.ok("start", "newer")
    assert docker.inspect("newer", "{{.HostConfig.Memory}}") == str(64 << 20)
    docker.ok("rm", "running", "stopped", "newer")
    assert engine.stop() == 0 and not engine.remains()


def test_full_disk_is_told_and_survived(fresh: Fresh) -> None:
    engine = fresh(reference=False, size="40m")
    docker = engine.docker
    docker.ok("run", "-d", "--name", "runs", "busybox", "sleep", "600")
    stone = engine.data / "stone"
    fill(stone)
    for words in (["create", "--name", "new", "busybox"], ["run", "--name", "new", "busybox", "true"]):
        assert "no space left on device" in docker.fails(*words, code=1 if words[0] == "create" else 125).lower()
        assert docker("inspect", "new").code
    assert "no space left on device" in docker.fails("volume", "create", "new").lower()
    assert "no space left on device" in docker.fails("exec", "runs", "sh", "-c", "echo x > /file").lower()
    assert docker.ok("exec", "runs", "echo", "on") == "on"
    assert docker.ok("ps", "-a", "--format", "{{.Names}}") == "runs"
    assert not docker.ok("volume", "ls", "-q")
    docker.ok("kill", "runs")
    until(lambda: docker.inspect("runs", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137", "its end is known")
    stone.unlink()
    docker.ok("start", "runs")
    assert docker.ok("run", "--rm", "busybox", "echo", "again") == "again"
    docker.ok("rm", "-f", "runs")
    assert sorted(path.name for path in (engine.data / "containers").iterdir() if path.name[0] != ".") == []
    assert engine.stop() == 0 and not engine.remains()


def test_start_on_a_full_disk_adopts_what_runs(fresh: Fresh) -> None:
    engine = fresh(reference=False, size="40m")
    docker = engine.docker
    docker.ok("run", "-d", "--name", "runs", "busybox", "sleep", "600")
    fill(engine.data / "stone")
    engine.kill()
    engine.start()
    assert docker.ok("exec", "runs", "echo", "on") == "on"
    (engine.data / "stone").unlink()
    docker.ok("rm", "-f", "runs")
    assert engine.stop() == 0 and not engine.remains()


def fill(path: Path) -> None:
    """Takes all the space there is, to the last page."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            while True:
                try:
                    file.write(b"\0" * size)
                except OSError:
                    break
