"""kill -9 of dockerd, of docker-containerd, of both: nothing that runs notices, nothing that happens is lost."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from tests.harness.cli import Docker, end
from tests.harness.engine import Engine
from tests.harness.wait import until
from tests.kill.crowd import AWAIT, IDLE, Crowd, deaths, numbers, release

pytestmark = pytest.mark.ours
VICTIMS = [("dockerd",), ("containerd",), ("dockerd", "containerd"), ("containerd", "dockerd")]
BOTH = VICTIMS[2]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(reference=False) as engine:
        yield engine
        assert engine.stop() == 0, engine.tail()
        assert not engine.remains()


@pytest.fixture(scope="module")
def crowd(engine: Engine) -> Iterator[Crowd]:
    with ExitStack() as stack:
        yield Crowd(engine, stack)


def kill(engine: Engine, victims: tuple[str, ...]) -> None:
    for victim in victims:
        engine.kill(engine.containerd() if victim == "containerd" else 0)


def revive(engine: Engine) -> None:
    """A dead dockerd is started again; a dead docker-containerd comes by dockerd's supervision."""
    if not engine.process:
        engine.start()
    until(lambda: engine.docker("exec", "idle0", "true").code == 0, "the daemons are back")


@pytest.mark.parametrize("victims", VICTIMS, ids="-".join)
def test_nothing_that_runs_notices(engine: Engine, crowd: Crowd, victims: tuple[str, ...]) -> None:
    kill(engine, victims)
    crowd.carry_on("alone")
    revive(engine)
    crowd.carry_on("again")
    crowd.are_known()


@pytest.mark.parametrize("victims", VICTIMS[:3], ids="-".join)
def test_every_verb_works_on_old_containers(
    engine: Engine, crowd: Crowd, victims: tuple[str, ...], tmp_path: Path
) -> None:
    docker, name = engine.docker, IDLE[1 + VICTIMS.index(victims)]
    kill(engine, victims)
    revive(engine)
    assert docker.ok("exec", name, "echo", "inside") == "inside"
    assert docker("exec", "-i", name, "cat", stdin=b"through").out == "through"
    assert docker("exec", name, "sh", "-c", "exit 5").code == 5
    assert docker.inspect(name, "{{.State.Status}} {{.State.Pid}}") == f"running {crowd.pids[name]}"
    assert "sleep 86400" in docker.ok("top", name)
    assert docker.ok("port", "server", "7").splitlines()[0] == "0.0.0.0:7077"
    assert docker.ok("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", name) == f"{name} 2"
    (tmp_path / "in").write_text("carried")
    docker.ok("cp", str(tmp_path / "in"), f"{name}:/data/file")
    docker.ok("cp", f"{name}:/data/file", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "carried"
    follows(docker, "writer")
    stops_and_starts(docker, name)
    crowd.pids[name] = crowd.state(name)["Pid"]


def follows(docker: Docker, name: str) -> None:
    child = docker.start("logs", "-f", "--tail", "1", name)
    try:
        assert child.stdout
        lines = [int(child.stdout.readline()) for _ in range(200)]
        assert lines == list(range(lines[0], lines[0] + 200))
    finally:
        end(child)


def stops_and_starts(docker: Docker, name: str) -> None:
    docker.ok("pause", name)
    assert docker.inspect(name, "{{.State.Status}}") == "paused"
    docker.ok("unpause", name)
    docker.ok("rename", name, f"{name}-b")
    docker.ok("rename", f"{name}-b", name)
    docker.ok("update", "-m", "64m", "--memory-swap", "64m", name)
    docker.ok("stop", name)
    assert docker.inspect(name, "{{.State.Status}} {{.State.ExitCode}}") == "exited 143"
    docker.ok("start", name)
    docker.ok("restart", "-t", "5", name)
    docker.ok("kill", name)
    assert docker.ok("wait", name) == "137"
    docker.ok("start", name)
    assert docker.ok("exec", name, "cat", "/data/file") == "carried"


@pytest.mark.parametrize("victims", VICTIMS[:3], ids="-".join)
def test_what_exits_meanwhile_is_told_once(engine: Engine, crowd: Crowd, victims: tuple[str, ...]) -> None:
    docker, since = engine.docker, time.time()
    docker("rm", "-f", "plain", "again", "rm")  # of one that failed before
    for name, flags in {"plain": [], "again": ["--restart", "on-failure:3"], "rm": ["--rm"]}.items():
        docker.ok("run", "-d", "--name", name, *flags, "busybox", "sh", "-c", AWAIT + "7")
    pids = {name: crowd.state(name)["Pid"] for name in ("plain", "again", "rm")}
    removed, plain = (docker.ok("inspect", "-f", "{{.Id}}", name) for name in ("rm", "plain"))
    kill(engine, victims)
    before = time.time()
    for pid in pids.values():
        release(pid)
    until(lambda: written(engine, plain), "its shim has written it down, with the time")
    after = time.time()
    revive(engine)
    until(lambda: crowd.state("plain")["Status"] == "exited", "the exit is known")
    state = crowd.state("plain")
    assert (state["ExitCode"], state["Pid"], state["Error"], state["OOMKilled"]) == (7, 0, "", False)
    assert before <= datetime.fromisoformat(state["FinishedAt"][:26] + "+00:00").timestamp() <= after
    until(lambda: crowd.state("again")["Pid"] not in (0, pids["again"]), "the restart policy applies")
    until(lambda: docker("inspect", "rm").code, "--rm applies")
    assert not (engine.data / "containers" / removed).exists()
    for name in ("plain", "again", removed):
        assert [death["exitCode"] for death in deaths(engine, since, name)] == ["7"], name
    docker.ok("rm", "-f", "plain", "again")


def written(engine: Engine, container: str) -> bool:
    """A container's end lies in its bundle, or has been dealt with already."""
    bundle = engine.exec / "containerd/io.containerd.runtime.v2.task/moby" / container
    return not bundle.exists() or (bundle / "exit.json").exists()


def test_a_waiting_client_of_containerd_learns_the_code(engine: Engine, crowd: Crowd) -> None:
    """dockerd lives on: who waits through it is answered although docker-containerd was killed meanwhile."""
    docker = engine.docker
    docker.ok("run", "-d", "--name", "awaited", "busybox", "sh", "-c", AWAIT + "9")
    child = docker.start("wait", "awaited")
    try:
        pid = crowd.state("awaited")["Pid"]
        kill(engine, ("containerd",))
        release(pid)
        assert child.stdout and child.stdout.readline() == b"9\n"
    finally:
        end(child)
    docker.ok("rm", "awaited")


def test_an_exec_ends_while_dockerd_is_away(engine: Engine, crowd: Crowd) -> None:
    docker, api = engine.docker, engine.api
    exec_id = api("POST", "/containers/idle0/exec", {"Cmd": ["sh", "-c", AWAIT + "6"]}).json["Id"]
    assert api("POST", f"/exec/{exec_id}/start", {"Detach": True}).status == 200
    pid = until(lambda: api.get(f"/exec/{exec_id}/json")["Pid"], "the exec has a pid")
    kill(engine, BOTH)
    release(pid)
    revive(engine)
    until(lambda: not api.get(f"/exec/{exec_id}/json")["Running"], "its end is known")
    assert api.get(f"/exec/{exec_id}/json")["ExitCode"] == 6
    assert docker.ok("exec", "idle0", "echo", "on") == "on"


def test_paused_containers_stay_paused(engine: Engine, crowd: Crowd) -> None:
    engine.docker.ok("pause", "idle6")
    kill(engine, BOTH)
    revive(engine)
    assert crowd.state("idle6")["Status"] == "paused"
    engine.docker.ok("unpause", "idle6")
    assert engine.docker.ok("exec", "idle6", "echo", "on") == "on"


def test_nothing_was_lost_in_the_end(engine: Engine, crowd: Crowd) -> None:
    crowd.carry_on("last")
    crowd.docker.ok("kill", "reader")
    assert crowd.attached.rest() == b""
    crowd.docker.ok("stop", "-t", "0", "writer")
    assert len(numbers(crowd.docker.ok("logs", "writer"))) > 1000
    crowd.docker.ok("rm", "-f", "-v", *crowd.pids)
    assert not set(crowd.docker.ok("ps", "-a", "--format", "{{.Names}}").split()) & crowd.pids.keys()
