"""`docker-containerd move` from each driver that runs here to another, also where it is killed in the midst."""

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_storage import layered, run
from tests.harness import loop
from tests.harness.check import check
from tests.harness.engine import Engine

pytestmark = pytest.mark.ours
LONG = "LONG" in os.environ
TOOL = Path(sys.executable).with_name("docker-containerd")
NAMES = {"overlay2": "overlayfs", "vfs": "native", "overlay": "overlay", "btrfs": "btrfs"}
"""Docker's and containerd's."""


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Not started, on btrfs where that can be: there all of them run."""
    engine = Engine()
    if loop.missing("btrfs"):
        yield engine
    else:
        with loop.mounted("btrfs", engine.data):
            yield engine
    engine.close()


def words(engine: Engine, source: str, target: str) -> list[str]:
    root, state = engine.data / "containerd", engine.exec / "containerd"
    return [str(TOOL), "move", "--root", str(root), "--state", str(state), "--from", source, "--to", target]


def tour(names: list[str]) -> list[str]:
    """A way to each driver but overlay, and back; `make test-long` goes once from each to every other."""
    if not LONG:
        return [*(name for name in names if name != "overlay"), names[0]]
    left, way, stack = set(itertools.permutations(names, 2)), [], [names[0]]
    while stack:
        following = next((step for step in sorted(left) if step[0] == stack[-1]), None)
        if following:
            left.discard(following)
            stack.append(following[1])
        else:
            way.append(stack.pop())
    return way[::-1]


def unpacked(engine: Engine) -> dict[str, int]:
    """How many snapshots each driver has; AssertionError where anything does not agree."""
    report = check(engine.data / "containerd")
    assert report["problems"] == []
    return {name: count for name, count in report["snapshots"].items() if count}


@pytest.mark.limit(400)
def test_from_each_to_another(engine: Engine) -> None:
    way = tour([name for name in NAMES if name != "btrfs" or not loop.missing("btrfs")])
    engine.start("-s", way[0])
    engine.load()
    run(engine, "load", stdin=layered(3))
    before = engine.docker.ok("images", "--no-trunc", "-q")
    engine.stop()
    count = unpacked(engine)[NAMES[way[0]]]
    for source, target in itertools.pairwise(way):
        told = subprocess.run(words(engine, source, target), capture_output=True, text=True)
        assert told.returncode == 0, told.stderr
        assert f"images moved from {NAMES[source]} to {NAMES[target]}: 2" in told.stdout
        if LONG or target == way[-1]:
            assert unpacked(engine) == {NAMES[target]: count}
    engine.start()
    assert engine.docker.ok("info", "-f", "{{.Driver}}") == way[-1]
    assert engine.docker.ok("images", "--no-trunc", "-q") == before
    look = "cat /same; echo; ls -d /f*; stat -c %a /bin/busybox"
    shown = engine.docker.ok("run", "--rm", "layered:1", "sh", "-c", look)
    assert shown.split() == ["2", "/f2", "755"]
    engine.stop()


def test_cut_short_and_repeated(engine: Engine) -> None:
    """Killed after the first image: it stays moved, and the other one is moved the next time."""
    engine.start("-s", "vfs")
    engine.load()
    run(engine, "load", stdin=layered(8))
    engine.docker.ok("create", "--name", "stays", "busybox", "cat", "/etc/passwd")
    engine.stop()
    command = words(engine, "vfs", "overlay2")
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as mover:
        assert mover.stdout
        assert b"layers" in mover.stdout.readline()
        mover.kill()
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert re.search(r"images moved from native to overlayfs: [01]\n", told.stdout)  # the other may have been quick
    assert "containers that stay on native: 1; name the driver by --storage-driver" in told.stdout
    assert unpacked(engine)["overlayfs"] == 9
    engine.start("-s", "overlay2")
    assert engine.docker.ok("run", "--rm", "layered:1", "cat", "/same") == "7"
    assert "root:" in engine.docker.ok("start", "-a", "stays")
    engine.stop()
