"""kill -9 of dockerd or docker-containerd in the midst of a verb: whatever came of it, all is of one piece after."""

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import clean
from tests.harness.engine import Engine, busybox
from tests.harness.wait import until
from tests.kill.crowd import ended

pytestmark = pytest.mark.ours
DELAYS = random.Random(7)
MOMENTS = 2
VERBS = {"create": 0.03, "start": 0.15, "stop": 0.1, "rm": 0.08, "load": 0.2}
"""How long each takes about, in seconds: the moments are drawn from that."""
CASES = [
    pytest.param(victim, verb, [DELAYS.uniform(0, span * 1.2) for _ in range(MOMENTS)], id=f"{victim}-{verb}")
    for victim in ("dockerd", "containerd")
    for verb, span in VERBS.items()
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(reference=False) as engine:
        engine.docker.ok("run", "--rm", "busybox", "true")
        until(lambda: not [*engine.data.glob("image/*/layerdb/mounts/*")], "the container is cleared away", 10)
        before = things(engine)
        yield engine
        engine.docker.ok("run", "--rm", "busybox", "true")
        until(lambda: things(engine) == before, "no file is left of any container", 10)
        assert engine.stop() == 0, engine.tail()
        assert not engine.remains()


def things(engine: Engine) -> set[str]:
    """What one container adds to, in the data root: directories of containers, layers, snapshots, volumes."""
    found = set()
    for place in ("containers/*", "image/*/layerdb/mounts/*", "volumes/*", "containerd/*snapshot*/*/*"):
        found |= {str(path.relative_to(engine.data)) for path in engine.data.glob(place)}
    return {path for path in found if not path.endswith((".db", "-wal", "-shm"))}


def words(verb: str, name: str) -> list[str]:
    return {
        "create": ["create", "--name", name, "-v", "/data", "busybox", "sleep", "600"],
        "start": ["start", name],
        "stop": ["stop", "-t", "5", name],
        "rm": ["rm", "-f", "-v", name],
        "load": ["load", "-q", "-i", str(busybox())],
    }[verb]


def prepare(engine: Engine, verb: str, name: str) -> None:
    flags = ["--init", "--name", name, "-v", "/data", "-p", "17200:80", "busybox", "sleep", "600"]
    if verb == "start":
        engine.docker.ok("create", *flags)
    elif verb in ("stop", "rm"):
        engine.docker.ok("run", "-d", *flags)
    elif verb == "load":
        engine.docker.ok("rmi", "-f", "busybox")


def interrupt(engine: Engine, victim: str, command: list[str], delay: float) -> int:
    """Kills the victim `delay` s after the client began; the client's exit code."""
    child = subprocess.Popen(
        ["docker", *command], env=engine.docker.env(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(0.02 + delay)  # the moment itself: nothing is awaited here
    engine.kill(engine.containerd() if victim == "containerd" else 0)
    if victim == "dockerd":
        engine.start()
    return child.wait(40)


@pytest.fixture(autouse=True)
def tidy(engine: Engine) -> Iterator[None]:
    yield
    clean(engine.api)


@pytest.mark.parametrize(("victim", "verb", "delays"), CASES)
def test_interrupted_verb_leaves_no_half(engine: Engine, victim: str, verb: str, delays: list[float]) -> None:
    docker = engine.docker
    for number, delay in enumerate(delays):
        name = f"{victim}-{verb}-{number}"
        prepare(engine, verb, name)
        code = interrupt(engine, victim, words(verb, name), delay)
        if victim == "containerd" and verb != "load":
            until(lambda: docker("run", "--rm", "busybox", "true").code == 0, "docker-containerd is back")
        if verb == "load":
            until(lambda: docker(*words("load", "")).code == 0, "images are loaded again")
        else:
            agrees(engine, name, verb, code, wait=bool(number % 2))
        assert docker.ok("run", "--rm", "busybox", "echo", "on") == "on"
        docker("rm", "-f", "-v", name)
        assert not docker.ok("ps", "-aq"), (delay, docker.ok("ps", "-a"))


def agrees(engine: Engine, name: str, verb: str, code: int, wait: bool) -> None:
    """What is said of the container is what is there; and what the client was promised holds."""
    reply = engine.api("GET", f"/containers/{name}/json")
    if reply.status == 404:
        assert verb == "rm" or (verb == "create" and code != 0)
        return
    assert verb != "rm" or code != 0
    state = reply.json["State"]
    if state["Running"]:
        assert verb in ("start", "stop", "rm") and not ended(state["Pid"])
        assert verb != "stop" or code != 0
        assert engine.docker.ok("exec", name, "echo", "alive") == "alive"
    else:
        assert verb != "start" or code != 0, state
        if state["Status"] in ("dead", "removing"):
            assert verb == "rm"
            engine.docker.ok("rm", "-f", "-v", name)
            return
        group = Path("/sys/fs/cgroup/pids") / engine.name / reply.json["Id"]
        if wait:
            until(lambda: not group.exists(), "nothing of it runs")
        engine.docker.ok("start", name)
        assert engine.docker.ok("exec", name, "echo", "alive") == "alive"


@pytest.mark.parametrize(("verb", "span"), [("rm", 0.1), ("connect", 0.09), ("rename", 0.03)])
def test_interrupted_network_is_whole_or_gone(engine: Engine, name: str, verb: str, span: float) -> None:
    """Each bridge is of a network that is listed, and a container has the interfaces that inspect tells of."""
    docker = engine.docker
    for number in range(MOMENTS):
        box, net = f"{name}-{number}", f"{name}-net-{number}"
        docker.ok("network", "create", net)
        docker.ok("run", "-d", "--init", "--name", box, "busybox", "sleep", "600")
        identity = docker.inspect(box, "{{.Id}}")
        command = {"rm": ["network", "rm", net], "connect": ["network", "connect", net, box],
                   "rename": ["rename", box, f"{box}-new"]}[verb]
        interrupt(engine, "dockerd", command, DELAYS.uniform(0, span))
        bridges = engine.network.ip("-o", "link", "show", "type", "bridge").splitlines()
        assert len(bridges) == len(docker.ok("network", "ls", "-q", "--filter", "driver=bridge").split())
        joined = docker.inspect(identity, "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}").split()
        inside = docker.ok("exec", identity, "ip", "-o", "-4", "address", "show", "scope", "global")
        assert len(inside.splitlines()) == len(joined) and all(f" {each}/" in inside for each in joined)
        assert docker.inspect(identity, "{{.Name}}")[1:] in docker.ok("ps", "--format", "{{.Names}}").split()
        docker.ok("rm", "-f", identity)
        docker("network", "rm", net)
