"""The daemon's end: what containers get of it, and what becomes of them afterwards."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import leftovers
from tests.harness.engine import Engine
from tests.harness.wait import until

Fresh = Callable[..., Engine]
STUBBORN = "trap '' TERM INT; echo ready; while :; do sleep 1; done"
OBEDIENT = "trap 'echo told; exit 7' {signal}; echo ready; while :; do sleep 0.05; done"


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    with Engine("--shutdown-timeout", "2") as engine:
        yield engine


@pytest.fixture
def daemon(shared: Engine) -> Iterator[Engine]:
    if not shared.process:
        shared.start()
    yield shared
    if not shared.process:
        shared.start()
    for container in shared.docker.ok("ps", "-aq").split():
        shared.docker.ok("rm", "-f", "-v", container)


def run(daemon: Engine, name: str, script: str, *flags: str) -> int:
    """Runs a script that says `ready`; the pid of its shell."""
    daemon.docker.ok("run", "-d", "--name", name, *flags, "busybox", "sh", "-c", script)
    until(lambda: "ready" in daemon.docker.ok("logs", name), f"{name} is ready")
    return int(daemon.docker.inspect(name, "{{.State.Pid}}"))


def saying(daemon: Engine) -> Callable[[], str]:
    """What the log gets from now on."""
    start = daemon.log.stat().st_size
    return lambda: daemon.log.read_bytes()[start:].decode()


def state(daemon: Engine, name: str) -> str:
    return daemon.docker.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_containers_get_their_own_stop_signal(daemon: Engine, number: int) -> None:
    run(daemon, "plain", OBEDIENT.format(signal="TERM"))
    run(daemon, "usr", OBEDIENT.format(signal="USR2"), "--stop-signal", "SIGUSR2")
    assert daemon.process
    daemon.process.send_signal(number)
    assert daemon.process.wait(40) == 0
    daemon.process = None
    daemon.start()
    for name in ("plain", "usr"):
        assert state(daemon, name) == "exited 7"
        assert daemon.docker.ok("logs", name).endswith("told")


def told(daemon: Engine, *actions: str) -> list[tuple[str, str, int]]:
    """Events of containers so far: action, name, time in nanoseconds."""
    reply = daemon.api("GET", "/events", since="1", until=f"{time.time():.9f}", filters={"event": list(actions)})
    lines = [json.loads(line) for line in reply.body.splitlines()]
    return [(line["Action"], line["Actor"]["Attributes"]["name"], line["timeNano"]) for line in lines]


@pytest.mark.ours  # Docker's events do not outlive it
def test_stubborn_containers_are_killed_side_by_side(daemon: Engine) -> None:
    names = [f"stubborn{number}" for number in range(5)]
    pids = [run(daemon, name, STUBBORN, "--stop-timeout", "4") for name in names]
    assert daemon.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    daemon.start()
    assert {state(daemon, name) for name in names} == {"exited 137"}
    actions = [(action, name) for action, name, _ in told(daemon, "kill", "die") if name in names]
    assert {name for _, name in actions[:5]} == set(names), "all are asked before one has ended"
    assert {action for action, _ in actions[:5]} == {"kill"}


@pytest.mark.ours  # Docker gives them their usual ten seconds
def test_shutdown_timeout_bounds_those_without_a_time_of_their_own(daemon: Engine) -> None:
    run(daemon, "bounded", STUBBORN)
    assert daemon.stop() == 0
    daemon.start()
    assert state(daemon, "bounded") == "exited 137"
    asked, killed = [at for _, name, at in told(daemon, "kill") if name == "bounded"]
    assert 2e9 <= killed - asked < 10e9


def test_paused_container_can_obey(daemon: Engine) -> None:
    run(daemon, "frozen", OBEDIENT.format(signal="TERM"), "--stop-timeout", "20")
    daemon.docker.ok("pause", "frozen")
    assert daemon.stop() == 0
    daemon.start()
    assert state(daemon, "frozen") == "exited 7"


@pytest.mark.ours
def test_second_signal_kills_containers_at_once(daemon: Engine) -> None:
    pid = run(daemon, "stubborn", STUBBORN, "--stop-timeout", "100")
    assert daemon.process
    said = saying(daemon)
    daemon.process.send_signal(signal.SIGTERM)
    until(lambda: "msg=stopping" in said(), "it is stopping")
    daemon.process.send_signal(signal.SIGINT)
    assert daemon.process.wait(30) == 0
    daemon.process = None
    assert not Path(f"/proc/{pid}").exists() and not daemon.remains()
    daemon.start()
    assert state(daemon, "stubborn") == "exited 137"


@pytest.mark.ours
def test_third_signal_ends_without_cleaning_up(daemon: Engine) -> None:
    pid = run(daemon, "held", STUBBORN, "--stop-timeout", "100")
    container = daemon.docker.inspect("held", "{{.Id}}")
    (shim,) = [pid for pid in daemon.pids("docker-containerd-shim") if container in leftovers.cmdline(pid)]
    containerd = daemon.containerd()
    os.kill(shim, signal.SIGSTOP)  # nothing that has to do with the container comes to an end
    assert daemon.process
    said = saying(daemon)
    try:
        for word in ("msg=stopping", "msg=second signal", "msg=third signal"):
            daemon.process.send_signal(signal.SIGINT)
            until(lambda word=word: word in said(), word)  # type: ignore[misc]
        assert daemon.process.wait(30) == 130
    finally:
        os.kill(shim, signal.SIGCONT)
    daemon.process = None
    assert Path(f"/proc/{containerd}").exists()
    daemon.start()
    # Whether the second signal's SIGKILL was on its way already, nobody knows.
    until(lambda: Path(f"/proc/{pid}").exists() or state(daemon, "held") == "exited 137", "one or the other is known")
    daemon.docker.ok("rm", "-f", "held")
    assert not Path(f"/proc/{pid}").exists()


def test_containers_start_again_in_order(daemon: Engine) -> None:
    """Whoever is linked to, or lends its volumes, is up first; the others do not wait for it."""
    docker = daemon.docker
    flags = ("-d", "--init", "--restart", "always")
    docker.ok("run", *flags, "--name", "data", "-v", "/shared", "busybox", "sleep", "600")
    docker.ok("run", *flags, "--name", "back", "--volumes-from", "data", "busybox", "sleep", "600")
    docker.ok("run", *flags, "--name", "front", "--link", "back:behind", "busybox", "sleep", "600")
    if not daemon.reference:  # Docker orders links alone
        docker.ok("run", *flags, "--name", "side", "--network", "container:front", "busybox", "sleep", "600")
    for number in range(5 if daemon.reference else 4):
        docker.ok("run", *flags, "--name", f"free{number}", "busybox", "sleep", "600")
    daemon.restart()
    assert len(docker.ok("ps", "-q").split()) == 8, "whoever is told that it is ready finds them running"
    assert docker.ok("exec", "front", "ping", "-c", "1", "-W", "2", "behind")
    if not daemon.reference:
        started = {name: docker.inspect(name, "{{.State.StartedAt}}") for name in ("data", "back", "front", "side")}
        assert started["data"] < started["back"] < started["front"] < started["side"]
