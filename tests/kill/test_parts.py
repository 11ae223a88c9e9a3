"""kill -9 of a shim, of the warm zygotes, of a docker-proxy: noticed at once, mended, and nothing is left running."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import HOST, Engine
from tests.harness.wait import until
from tests.kill.crowd import deaths, ended, exchange

pytestmark = pytest.mark.ours
AT_ONCE = 3.0


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(reference=False) as engine:
        yield engine
        assert engine.stop() == 0, engine.tail()
        assert not engine.remains()


def state(engine: Engine, name: str) -> dict[str, object]:
    found: dict[str, object] = engine.api.get(f"/containers/{name}/json")["State"]
    return found


def pid_of(engine: Engine, name: str) -> int:
    return int(str(state(engine, name)["Pid"]))


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def family(pid: int) -> list[int]:
    """All processes that share a container's pid namespace."""
    inode = Path(f"/proc/{pid}/ns/pid").stat().st_ino
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "ns/pid").stat().st_ino == inode:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def zygotes(engine: Engine, above: int) -> list[int]:
    tree = engine.api.get("/debug/tree")
    todo, found = list(tree), []
    while todo:
        node = todo.pop()
        todo += node["children"]
        if node["role"] == "zygote" and node["ppid"] == above:
            found.append(node["pid"])
    return found


def waiting(engine: Engine, above: int) -> int:
    return until(lambda: zygotes(engine, above), "a zygote waits")[0]


@pytest.mark.parametrize("verb", ["unpause", "pause"])
def test_killed_shim_ends_its_container(engine: Engine, name: str, verb: str) -> None:
    docker, since = engine.docker, time.time()
    docker.ok("run", "-d", "--name", name, "busybox", "sh", "-c", "sleep 600 & sleep 600 & wait")
    pid = pid_of(engine, name)
    processes = until(lambda: len(found := family(pid)) == 3 and found, "three processes run")
    if verb == "pause":
        docker.ok(verb, name)
    engine.kill(parent(pid))
    until(lambda: state(engine, name)["Status"] == "exited", "its end is known", AT_ONCE)
    assert (state(engine, name)["ExitCode"], state(engine, name)["Pid"]) == (137, 0)
    assert processes and all(ended(each) for each in processes)
    assert [death["exitCode"] for death in deaths(engine, since, name)] == ["137"]
    assert docker.fails("exec", name, "true") and docker.ok("wait", name) == "137"
    docker.ok("start", name)
    assert docker.ok("exec", name, "echo", "again") == "again"
    docker.ok("rm", "-f", name)


@pytest.mark.parametrize("away", ["dockerd", "both"])
def test_shim_killed_while_daemons_are_away(engine: Engine, name: str, away: str) -> None:
    docker, since = engine.docker, time.time()
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "600")
    docker.ok("run", "-d", "--name", f"other-{name}", "--restart", "always", "busybox", "sleep", "600")
    pids = [pid_of(engine, each) for each in (name, f"other-{name}")]
    containerd = engine.containerd()
    engine.kill()
    if away == "both":
        engine.kill(containerd)
    for pid in pids:
        engine.kill(parent(pid))
    engine.start()
    until(lambda: state(engine, name)["Status"] == "exited", "its end is known", AT_ONCE)
    assert all(ended(pid) for pid in pids)
    assert state(engine, name)["ExitCode"] == 137
    assert [death["exitCode"] for death in deaths(engine, since, name)] == ["137"]
    until(lambda: state(engine, f"other-{name}")["Running"], "the restart policy applies")
    docker.ok("start", name)
    assert docker.ok("exec", name, "echo", "again") == "again"
    docker.ok("rm", "-f", name, f"other-{name}")


def test_killed_shim_restarts_by_policy_and_removes(engine: Engine, name: str) -> None:
    docker = engine.docker
    docker.ok("run", "-d", "--name", name, "--restart", "always", "busybox", "sleep", "600")
    docker.ok("run", "-d", "--name", f"{name}-rm", "--rm", "busybox", "sleep", "600")
    first = pid_of(engine, name)
    for each in (first, pid_of(engine, f"{name}-rm")):
        engine.kill(parent(each))
    until(lambda: pid_of(engine, name) not in (0, first), "it runs again")
    until(lambda: docker("inspect", f"{name}-rm").code, "--rm applies")
    docker.ok("rm", "-f", name)


def test_killed_zygotes_are_replaced(engine: Engine, name: str) -> None:
    docker = engine.docker
    for number, above in enumerate((engine.containerd(), engine.pid)):
        warm = waiting(engine, above)
        engine.kill(warm)
        port = f"{17100 + number}:7"
        docker.ok("run", "-d", "--name", f"{name}-{number}", "-p", port, "busybox", "nc", "-ll", "-p", "7", "-e", "cat")
        assert docker.ok("run", "--rm", "busybox", "echo", "runs") == "runs"
        assert waiting(engine, above) != warm
    proxies = engine.pids("docker-proxy")
    assert len([pid for pid in proxies if parent(pid) == engine.pid]) == 3, "two proxies and their zygote"
    docker.ok("rm", "-f", f"{name}-0", f"{name}-1")


def test_killed_proxy_is_replaced(engine: Engine, name: str) -> None:
    """Its connections are lost with it; the port is not, and the container runs on."""
    docker = engine.docker
    docker.ok("run", "-d", "--name", name, "-p", "17120:7", "busybox", "nc", "-ll", "-p", "7", "-e", "cat")
    pid = pid_of(engine, name)
    for _ in range(2):
        proxy = next(each for each in engine.pids("docker-proxy") if each not in zygotes(engine, engine.pid))
        until(lambda: answers(engine, "127.0.0.1"), "the port is served")
        engine.kill(proxy)
        until(lambda: answers(engine, "127.0.0.1"), "the port is served again")
        assert answers(engine, HOST) and pid_of(engine, name) == pid
    assert docker.ok("port", name, "7").splitlines()[0] == "0.0.0.0:17120"
    docker.ok("rm", "-f", name)
    assert not [each for each in engine.pids("docker-proxy") if each not in zygotes(engine, engine.pid)]
    with pytest.raises(OSError):
        engine.network.connect("127.0.0.1", 17120)


def test_proxy_killed_while_dockerd_is_away(engine: Engine, name: str) -> None:
    docker = engine.docker
    docker.ok("run", "-d", "--name", name, "-p", "17120:7", "busybox", "nc", "-ll", "-p", "7", "-e", "cat")
    proxy = next(each for each in engine.pids("docker-proxy") if each not in zygotes(engine, engine.pid))
    engine.kill()
    engine.kill(proxy)
    engine.start()
    until(lambda: answers(engine, "127.0.0.1"), "the port is served again")
    docker.ok("rm", "-f", name)


def answers(engine: Engine, place: str) -> bool:
    try:
        with engine.network.connect(place, 17120) as client:
            exchange(client, b"hello")
        return True
    except (OSError, AssertionError):
        return False


@pytest.mark.parametrize("keeping", [False, True], ids=["a stop", "a start"])
def test_hung_containerd_is_replaced(engine: Engine, name: str, keeping: bool) -> None:
    """A stop ends the containers and all else; a start adopts them: each by another docker-containerd than the hung."""
    engine.docker.ok("run", "-d", "--init", "--name", name, "busybox", "sleep", "600")
    pid, hung = pid_of(engine, name), engine.containerd()
    os.kill(hung, signal.SIGSTOP)
    if keeping:
        engine.kill()
    else:
        assert engine.stop() == 0, engine.tail()
        assert not engine.remains()
    assert f"docker-containerd does not answer, killed; containers go on running pid={hung}" in engine.tail() or keeping
    engine.start()
    assert hung not in engine.pids("docker-containerd")
    assert state(engine, name)["Status"] == ("running" if keeping else "exited")
    assert Path(f"/proc/{pid}").exists() is keeping
    engine.docker.ok("start", name)
    assert engine.docker.ok("exec", name, "echo", "on") == "on"
