"""kill -9 in the midst of pull, load, commit and rmi: the store is consistent, the verb can be repeated, nothing stays.

The victims are the daemons, and the process that unpacks a large layer.

`LONG=1`, which `make test-long` sets, tries some 200 random moments.
"""

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.check import consistent, settled, usage_agrees
from tests.harness.engine import Engine
from tests.harness.registry import Registry
from tests.harness.wait import until

pytestmark = pytest.mark.ours
LONG = bool(os.environ.get("LONG"))
MOMENTS = 17 if LONG else 1
SEED = int(os.environ.get("SEED", "11"))
VICTIMS = ("dockerd", "containerd", "both")
VERBS = ("pull", "load", "commit", "rmi")
FILES = 300
DEATH = "the process that unpacked"
CHANGE = (
    "mkdir /2; for i in $(seq 0 299); do echo -n 2-$i > /2/$i; done;"
    " dd if=/dev/urandom of=/large bs=1M count=3; echo yes > /changed"
)
NAME, COMMITTED, PORT = "127.0.0.1:5400/kill:1", "kill:committed", 5400


class House:
    """An engine, a registry with an image of three layers, and how long each verb takes undisturbed."""

    def __init__(self, engine: Engine, archive: Path) -> None:
        self.engine = engine
        self.words = {
            "pull": ["pull", "-q", NAME], "load": ["load", "-q", "-i", str(archive)],
            "commit": ["commit", "changed", COMMITTED], "rmi": ["rmi", NAME],
        }
        self.spans = {verb: self._span(verb) for verb in ("load", "commit", "rmi", "pull")}

    def _span(self, verb: str) -> float:
        self.prepare(verb)
        begin = time.monotonic()
        self.engine.docker.ok(*self.words[verb])
        return time.monotonic() - begin

    def prepare(self, verb: str) -> None:
        docker = self.engine.docker
        if verb in ("pull", "load"):
            docker("rmi", NAME)
        elif verb == "commit":
            docker("rmi", COMMITTED)
        elif verb == "rmi":
            docker.ok(*self.words["load"])

    def interrupt(self, victim: str, verb: str, delay: float) -> None:
        engine = self.engine
        child = subprocess.Popen(
            ["docker", *self.words[verb]], env=engine.docker.env(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            time.sleep(delay)  # the moment itself: nothing is awaited here
            if victim != "dockerd":
                engine.kill(engine.containerd())
            if victim != "containerd":
                engine.kill()
                engine.start()
            child.wait(60)
        finally:
            child.kill()
            child.wait()
        until(lambda: engine.docker("images").code == 0, "the engine answers")
        until(engine.has_containerd, "docker-containerd serves again", 40)  # what it removes at its start is gone

    def lose_the_worker(self, verb: str, delay: float) -> int:
        """Kill what unpacks a layer some time after it is there; the client's exit code, its words checked."""
        engine = self.engine
        for idle in engine.unpackers():
            engine.kill(idle)
        child = subprocess.Popen(
            ["docker", *self.words[verb]], env=engine.docker.env(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            worker = until(engine.unpackers, "a process is to unpack the large layer")[0]
            time.sleep(delay)  # the moment itself; none is before its work, which waits for it as it starts
            engine.kill(worker)
            words = child.communicate(timeout=60)[1]
        finally:
            child.kill()
            child.wait()
        assert child.returncode == 0 or (DEATH in words and "killed by signal 9" in words), words
        return child.returncode

    def repeat(self, verb: str) -> None:
        """What was cut off is done again, and whole."""
        docker = self.engine.docker
        if verb == "rmi":
            until(lambda: docker("rmi", NAME).code == 0 or not docker("images", "-q", NAME).out, "the name goes")
            return
        until(lambda: docker(*self.words[verb]).code == 0, f"{verb} succeeds now: {self.engine.tail(5)}")
        image = COMMITTED if verb == "commit" else NAME
        assert docker.ok("run", "--rm", image, "cat", "/2/299") == "2-299"
        if verb == "commit":
            assert docker.ok("run", "--rm", image, "cat", "/changed") == "yes"


def layer(number: int, megabytes: int = 3) -> bytes:
    files = {f"{number}/{file}": f"{number}-{file}".encode() for file in range(FILES)}
    return images.pack({**files, f"{number}/large": random.Random(number).randbytes(megabytes << 20)})


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    archive = tmp_path_factory.mktemp("kill") / "image.tar"
    layers = [layer(0), layer(1, 9), layer(2)]  # the second is large enough for a process of its own
    archive.write_bytes(images.docker_archive(NAME, {"Cmd": ["sh"]}, *layers))
    with Engine(reference=False) as engine:
        with Registry(engine.network, engine.root, PORT):
            engine.docker.ok("load", "-q", "-i", str(archive))
            engine.docker.ok("push", "-q", NAME)
            engine.docker.ok("run", "--name", "changed", "busybox", "sh", "-c", CHANGE)
            yield House(engine, archive)
        assert engine.stop() == 0, engine.tail()
        assert not engine.remains()


@pytest.mark.limit(900 if LONG else 150)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("victim", VICTIMS)
def test_interrupted_verb_leaves_a_consistent_store(house: House, victim: str, verb: str) -> None:
    moments = random.Random(f"{SEED} {victim} {verb}")
    for _ in range(MOMENTS):
        house.prepare(verb)
        delay = moments.uniform(0, house.spans[verb] * 1.1)
        house.interrupt(victim, verb, delay)
        consistent(house.engine)
        house.repeat(verb)
    house.engine.docker("rmi", COMMITTED)
    consistent(house.engine)


@pytest.mark.limit(900 if LONG else 150)
@pytest.mark.parametrize("verb", ["pull", "load"])
def test_unpack_whose_process_dies_can_be_repeated(house: House, verb: str) -> None:
    moments = random.Random(f"{SEED} worker {verb}")
    daemons = house.engine.pid, house.engine.containerd()
    failed = 0
    for _ in range(MOMENTS):
        house.prepare(verb)
        failed += house.lose_the_worker(verb, moments.uniform(0, house.spans[verb] * 0.2)) != 0
        if house.engine.docker("image", "inspect", NAME).code:
            house.repeat(verb)
        consistent(house.engine)
    house.prepare(verb)
    failed += house.lose_the_worker(verb, 0) != 0
    assert failed, "no unpack was hit"
    house.repeat(verb)
    settled(house.engine)
    assert (house.engine.pid, house.engine.containerd()) == daemons


def test_nothing_stays(house: House) -> None:
    docker = house.engine.docker
    docker("rm", "changed")
    docker.ok(*house.words["load"])
    before = settled(house.engine)
    usage_agrees(house.engine)
    docker.ok("rmi", NAME)
    docker.ok("image", "prune", "-f")
    after = settled(house.engine)
    assert after["blobs"] < before["blobs"]
    assert docker.ok("images", "--format", "{{.Repository}}") == "busybox"
    assert after["blobs"] == 4, after  # busybox's config, manifest, and layer, this one compressed for the push too
    usage_agrees(house.engine)
