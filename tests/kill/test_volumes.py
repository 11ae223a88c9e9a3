"""kill -9 of dockerd while volumes are mounted, being mounted or being filled: counts are right afterwards."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.shelf import Shelf
from tests.harness.cli import end
from tests.harness.engine import Engine
from tests.harness.wait import until
from tests.kill.crowd import AWAIT, release

pytestmark = pytest.mark.ours
RAM = ["-o", "type=tmpfs", "-o", "device=tmpfs"]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(reference=False) as engine:
        (engine.exec / "plugins").mkdir()
        yield engine
        assert engine.stop() == 0, engine.tail()
        assert not engine.remains()


@pytest.fixture
def shelf(engine: Engine, tmp_path: Path) -> Iterator[Shelf]:
    with Shelf(engine.exec / "plugins/shelf.sock", tmp_path) as made:
        yield made
        assert made.breaches == []


@pytest.fixture
def place(engine: Engine) -> Iterator[Path]:
    """Where a volume called `ram` is mounted while it is used."""
    engine.docker.ok("volume", "create", *RAM, "ram")
    yield engine.data / "volumes/ram/_data"
    engine.docker.ok("volume", "rm", "ram")


def again(engine: Engine) -> None:
    engine.kill()
    engine.start()


def test_counts_are_restored(engine: Engine, shelf: Shelf, place: Path) -> None:
    docker = engine.docker
    words = ["-v", "ram:/ram", "-v", "data:/data"]
    docker.ok("volume", "create", "-d", "shelf", "data")
    docker.ok("run", "-d", "--name", "one", *words, "busybox", "sleep", "600")
    docker.ok("exec", "one", "touch", "/ram/f", "/data/f")
    again(engine)
    assert docker.ok("run", "--rm", *words, "busybox", "ls", "/ram", "/data").split() == ["/data:", "f", "/ram:", "f"]
    assert place.is_mount() and shelf.mounted() == 1
    again(engine)
    assert "volume is in use" in docker.fails("volume", "rm", "ram", code=1)
    assert "volume is in use" in docker.fails("volume", "rm", "data", code=1)
    docker.ok("rm", "-f", "one")
    assert not place.is_mount() and shelf.mounted() == 0
    docker.ok("volume", "rm", "data")
    assert shelf.volumes == {}


def test_what_ended_meanwhile_is_unmounted(engine: Engine, shelf: Shelf, place: Path) -> None:
    docker = engine.docker
    words = ["-v", "ram:/ram", "-v", "data:/data"]
    docker.ok("volume", "create", "-d", "shelf", "data")
    for name in ("goes", "stays"):
        docker.ok("run", "-d", "--name", name, *words, "busybox", "sh", "-c", AWAIT + "3")
    pid = int(docker.inspect("goes", "{{.State.Pid}}"))
    engine.kill()
    release(pid)
    engine.start()
    assert docker.ok("wait", "goes") == "3"
    until(lambda: shelf.mounted() == 1, "one use is left")
    assert place.is_mount()
    docker.ok("rm", "-f", "goes", "stays")
    assert not place.is_mount() and shelf.mounted() == 0
    docker.ok("volume", "rm", "data")


def test_a_mount_under_way_is_given_back(engine: Engine, shelf: Shelf) -> None:
    docker = engine.docker
    docker.ok("volume", "create", "-d", "shelf", "data")
    docker.ok("create", "--name", "late", "-v", "data:/data:nocopy", "busybox", "true")
    shelf.hanging.add("Mount")
    start = docker.start("start", "late")
    until(lambda: "Mount" in shelf.verbs(), "the plugin is asked")
    engine.kill()
    end(start)
    shelf.hanging.clear()
    shelf.released.set()
    until(lambda: shelf.mounted() == 1, "the plugin has mounted for nobody")
    engine.start()
    until(lambda: shelf.mounted() == 0, "it is told to unmount")
    docker.ok("start", "-a", "late")
    docker.ok("rm", "late")
    docker.ok("volume", "rm", "data")


def test_a_graceful_stop_waits_for_no_plugin(engine: Engine, shelf: Shelf) -> None:
    docker = engine.docker
    docker.ok("volume", "create", "-d", "shelf", "data")
    docker.ok("create", "--name", "late", "-v", "data:/data:nocopy", "busybox", "true")
    shelf.hanging.add("Mount")
    start = docker.start("start", "late")
    until(lambda: "Mount" in shelf.verbs(), "the plugin is asked")
    assert engine.stop() == 0  # a plugin has two minutes, a stop in this harness one
    end(start)
    shelf.hanging.clear()
    shelf.released.set()
    until(lambda: shelf.mounted() == 1, "the plugin has mounted for nobody")
    engine.start()
    until(lambda: shelf.mounted() == 0, "it is told to unmount")
    docker.ok("rm", "late")
    docker.ok("volume", "rm", "data")


def test_a_copy_that_was_cut_short_is_repeated(engine: Engine) -> None:
    docker = engine.docker
    script = "mkdir -p /many; cd /many; i=0; while [ $i -lt 6000 ]; do echo $i >f$i; i=$((i+1)); done"
    docker.ok("run", "--name", "maker", "busybox", "sh", "-c", script)
    docker.ok("commit", "maker", "many")
    docker.ok("rm", "maker")
    create = docker.start("create", "--name", "cut", "-v", "full:/many", "many", "sh", "-c", "ls /many | wc -l")
    mark = engine.data / "volumes/full/unfilled"
    until(mark.exists, "the copy has begun")
    engine.kill()
    end(create)
    assert mark.exists(), "the copy was quicker than the kill"
    engine.start()
    assert docker.ok("run", "--rm", "-v", "full:/many", "many", "sh", "-c", "ls /many | wc -l") == "6000"
    assert not mark.exists()
    docker("rm", "-f", "cut")
    docker.ok("volume", "rm", "full")
    docker.ok("rmi", "many")


def test_views_of_images_do_not_outlive_their_containers(engine: Engine) -> None:
    docker = engine.docker
    mount = ["--mount", "type=image,src=busybox,dst=/img,image-subpath=etc"]
    docker.ok("run", "-d", "--name", "seen", *mount, "busybox", "sleep", "600")
    again(engine)
    docker.ok("restart", "-t", "0", "seen")
    assert "passwd" in docker.ok("exec", "seen", "ls", "/img")
    pins = engine.exec / "volumes/pins"
    assert not pins.exists() or not list(pins.iterdir())
    docker.ok("rm", "-f", "seen")
    assert json.loads(docker.ok("image", "inspect", "busybox"))
