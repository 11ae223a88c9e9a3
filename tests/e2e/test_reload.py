"""SIGHUP: what daemon.json says of live options becomes effective at once and as a whole, or not at all."""

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.engine import Engine
from tests.harness.wait import until

FIRST: dict[str, Any] = {"labels": ["a=1"], "shutdown-timeout": 20}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    try:
        write(engine, FIRST)
        engine.start("--config-file", str(engine.root / "daemon.json"), "--mtu", "1400")
        engine.load()
        yield engine
    finally:
        engine.close()


def write(engine: Engine, document: object) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    (engine.root / "daemon.json").write_text(text)


def reload(engine: Engine, document: object) -> dict[str, str]:
    """The attributes of the event that tells of it."""
    before = len(events(engine))
    write(engine, document)
    os.kill(engine.pid, signal.SIGHUP)
    return dict(until(lambda: events(engine)[before:], "the reload is told")[0]["Actor"]["Attributes"])


def events(engine: Engine) -> list[dict[str, Any]]:
    words = ("--since", "1h", "--until", f"{time.time():.9f}", "--filter", "type=daemon", "--format", "{{json .}}")
    out = engine.docker.ok("events", *words)
    return [each for each in map(json.loads, out.splitlines()) if each["Action"] == "reload"]


def test_live_options_become_effective(engine: Engine) -> None:
    told = reload(engine, {
        "debug": True, "labels": ["b=2", "c=3"], "live-restore": True, "shutdown-timeout": 7,
        "insecure-registries": ["10.2.0.0/16", "reg.example:5000"], "registry-mirrors": ["https://mirror.example"],
        "max-concurrent-downloads": 9, "max-concurrent-uploads": 8, "max-download-attempts": 7,
        "runtimes": {"mine": {"path": "/usr/sbin/runc"}}, "default-runtime": "mine", "default-shm-size": "32m",
    })
    info = engine.api.get("/info")
    assert info["Debug"] is True and sorted(info["Labels"]) == ["b=2", "c=3"]
    assert info["LiveRestoreEnabled"] is True and info["DefaultRuntime"] == "mine" and "mine" in info["Runtimes"]
    assert "10.2.0.0/16" in info["RegistryConfig"]["InsecureRegistryCIDRs"]
    assert info["RegistryConfig"]["IndexConfigs"]["reg.example:5000"]["Secure"] is False
    assert [each.rstrip("/") for each in info["RegistryConfig"]["Mirrors"]] == ["https://mirror.example"]
    wanted = {
        "debug": "true", "live-restore": "true", "shutdown-timeout": "7", "max-concurrent-downloads": "9",
        "max-concurrent-uploads": "8", "max-download-attempts": "7", "default-runtime": "mine",
        "default-shm-size": str(32 << 20), "default-ipc-mode": "private",
    }
    assert wanted.items() <= told.items() and told["name"]
    assert sorted(json.loads(told["labels"])) == ["b=2", "c=3"]
    assert json.loads(told["insecure-registries"]) == ["10.2.0.0/16", "reg.example:5000"]
    assert "mine:" in told["runtimes"] and "runc" in told["runtimes"]
    assert engine.docker.ok("run", "--rm", "busybox", "df", "/dev/shm").split()[8] == str(32 << 10)


@pytest.mark.parametrize(
    "document",
    [
        "{broken", {"labels": ["x=1"], "no-such-key": 1}, {"labels": ["x=1"], "debug": "yes"},
        {"labels": ["x=1"], "mtu": 1300}, {"labels": ["x=1", "x=2"]},
        {"labels": ["x=1"], "max-concurrent-downloads": -1}, {"labels": ["x=1"], "default-runtime": "nosuch"},
    ],
)
def test_a_bad_file_changes_nothing(engine: Engine, document: object) -> None:
    """Among them one that says what a flag has said; the next good file is taken all the same."""
    reload(engine, {"labels": ["good=1"]})
    write(engine, document)
    size = engine.log.stat().st_size
    os.kill(engine.pid, signal.SIGHUP)
    told = "configuration not reloaded" if not engine.reference else "reload"
    until(lambda: told in engine.log.read_bytes()[size:].decode(), "the daemon says what is wrong")
    before = len(events(engine))
    assert engine.api.get("/info")["Labels"] == ["good=1"]
    reload(engine, {"labels": ["good=2"]})
    assert engine.api.get("/info")["Labels"] == ["good=2"]
    assert len(events(engine)) == before + 1


@pytest.mark.ours
def test_the_log_says_what_changed(engine: Engine) -> None:
    """Also what only a restart would make effective, and that a key that is gone stands for its default."""
    reload(engine, {"labels": ["first=1"]})
    told = reload(engine, {"debug": True, "icc": False})
    log = engine.log.read_text()
    assert "configuration reloaded changed=debug: false -> true, labels: [first=1] -> []" in log
    assert "only a restart makes these effective: icc: true -> false" in log
    assert told["labels"] == "[]"
    reload(engine, {})
    assert engine.api.get("/info")["Debug"] is False


def test_debug_pages_come_and_go(engine: Engine) -> None:
    reload(engine, {"debug": True})
    assert "cmdline" in engine.api.get("/debug/vars")
    reply = engine.api("GET", "/debug/pprof/goroutine", debug=1)
    assert reply.status == 200 and len(reply.body) > 100
    reload(engine, {})
    if not engine.reference:  # Docker's stay once they were there
        assert engine.api("GET", "/debug/vars").status == 404
        assert engine.api("GET", "/debug/pprof/goroutine").status == 404


def test_a_timeout_holds_for_the_next_stop(engine: Engine) -> None:
    """Ignores SIGTERM: killed after the reloaded time, not after the old one."""
    reload(engine, {"shutdown-timeout": 120})
    reload(engine, {"shutdown-timeout": 1})
    docker = engine.docker
    docker.ok("run", "-d", "--name", "deaf", "busybox", "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    assert engine.stop(timeout=60) == 0
    engine.start("--config-file", str(engine.root / "daemon.json"))
    assert docker.inspect("deaf", "{{.State.ExitCode}}") == "137"
    docker.ok("rm", "deaf")
