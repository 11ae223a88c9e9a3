"""Disks that get full in the midst of load, pull and commit: that is told, nothing stays, with space it goes on."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness import images
from tests.harness.check import consistent, settled, usage_agrees
from tests.harness.engine import Engine
from tests.harness.registry import Registry
from tests.harness.wait import until
from tests.kill.test_store import CHANGE, COMMITTED, LONG, SEED, layer

pytestmark = pytest.mark.ours
MOMENTS = 13 if LONG else 2
ROOM = 48 << 20
NEEDED = {"load": 27 << 20, "pull": 26 << 20, "commit": 7 << 20}
"""Bytes that each takes about: what is left free is drawn from that."""
NAME, PORT = "127.0.0.1:5401/full:1", 5401
WORDS = ("no space left on device", "cannot be written", "database or disk is full")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    archive = tmp_path_factory.mktemp("full") / "image.tar"
    archive.write_bytes(images.docker_archive(NAME, {"Cmd": ["sh"]}, *map(layer, range(3))))
    with Engine(reference=False, size=str(ROOM)) as engine:
        with Registry(engine.network, engine.root, PORT):
            (engine.root / "image.tar").symlink_to(archive)
            engine.docker.ok("load", "-q", "-i", str(archive))
            engine.docker.ok("push", "-q", NAME)
            engine.docker.ok("rmi", NAME)
            engine.docker.ok("run", "--name", "changed", "busybox", "sh", "-c", CHANGE)
            yield engine
        assert engine.stop() == 0, engine.tail()


@contextmanager
def left(engine: Engine, free: int) -> Iterator[None]:
    """So many bytes of the disk are free inside."""
    ballast = engine.data / "ballast"
    facts = os.statvfs(engine.data)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, facts.f_bavail * facts.f_frsize - free))
    try:
        yield
    finally:
        ballast.unlink()


def words(engine: Engine, verb: str) -> list[str]:
    return {
        "load": ["load", "-q", "-i", str(engine.root / "image.tar")],
        "pull": ["pull", "-q", NAME],
        "commit": ["commit", "changed", COMMITTED],
    }[verb]


def containers(engine: Engine) -> int:
    return len([*engine.data.glob("image/*/layerdb/mounts/*")])


@pytest.mark.limit(600 if LONG else 150)
@pytest.mark.parametrize("verb", NEEDED)
def test_full_disk_is_told_and_survived(engine: Engine, verb: str) -> None:
    docker, moments = engine.docker, random.Random(f"{SEED} {verb}")
    image = COMMITTED if verb == "commit" else NAME
    for share in [0.4, *(moments.random() for _ in range(MOMENTS - 1))]:
        settled(engine)  # or what is being deleted makes room in between
        with left(engine, int(share * NEEDED[verb])):
            result = docker(*words(engine, verb))
            assert result.code or share > 0.4
            if result.code:
                assert any(word in result.err.lower() for word in WORDS), str(result)
            consistent(engine)
        until(lambda: docker(*words(engine, verb)).code == 0, f"{verb} succeeds with space: {engine.tail(5)}")
        assert docker.ok("run", "--rm", image, "cat", "/2/299") == "2-299"
        until(lambda: containers(engine) == 1, "the container is cleared away, so that the layers can go")
        docker.ok("rmi", image)
    settled(engine)


def test_disk_holds_what_is_said(engine: Engine) -> None:
    engine.docker("rm", "changed")
    usage_agrees(engine)
