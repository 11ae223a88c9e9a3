"""Layers of any size go through the daemons in a few megabytes, those of one image side by side."""

import gzip
import os
import random
import signal
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import pytest

from tests.harness import images
from tests.harness.check import settled
from tests.harness.cli import end
from tests.harness.engine import Engine
from tests.harness.wait import until

pytestmark = pytest.mark.ours
SIZE = 400 << 20
FLAT = 150 << 20
"""Bytes that no process may have had at once."""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(reference=False) as engine:
        yield engine


def peak(pid: int) -> int:
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(lines["VmHWM"].split()[0]) << 10


def forget_peaks(engine: Engine) -> None:
    for pid in (engine.pid, engine.containerd()):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def write_layer(out: IO[bytes]) -> None:
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar, Path("/dev/zero").open("rb") as zeros:
        entry = tarfile.TarInfo("large")
        entry.size = SIZE
        tar.addfile(entry, zeros)


def imported(engine: Engine, name: str, wrap: Callable[[IO[bytes]], IO[bytes]]) -> None:
    child = engine.docker.start("import", "-", name)
    try:
        assert child.stdin
        packed = wrap(child.stdin)
        write_layer(packed)
        packed.close()
        child.stdin.close()
        assert child.wait(120) == 0
    finally:
        end(child)


def gzipped(out: IO[bytes]) -> IO[bytes]:
    return cast(IO[bytes], gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1))


def test_memory_stays_flat(engine: Engine) -> None:
    docker, saved = engine.docker, engine.root / "saved.tar"
    forget_peaks(engine)
    imported(engine, "plain", lambda out: out)
    docker.ok("save", "-o", str(saved), "plain", timeout=120)
    docker.ok("rmi", "plain")
    docker.ok("load", "-q", "-i", str(saved), timeout=120)
    for pid in engine.unpackers():
        assert peak(pid) < FLAT
    saved.unlink()
    docker.ok("rmi", "plain")
    imported(engine, "packed", gzipped)
    docker.ok("rmi", "packed")
    docker.ok("run", "--name", "grown", "busybox", "dd", "if=/dev/zero", "of=/large", "bs=1M", f"count={SIZE >> 20}")
    docker.ok("commit", "grown", "grown", timeout=120)
    docker.ok("rm", "grown")
    docker.ok("rmi", "grown")
    for pid in (engine.pid, engine.containerd()):
        assert peak(pid) < FLAT, Path(f"/proc/{pid}/comm").read_text()


def heavy(seed: int, more: images.Files) -> bytes:
    """A layer that is worth a process of its own."""
    return images.pack({**more, f"heavy/{seed}": random.Random(seed).randbytes(12 << 20)})


def directory(mode: int, owner: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo()
    entry.type, entry.mode, entry.uid, entry.gid, entry.mtime = tarfile.DIRTYPE, mode, owner, owner, 1_500_000_000
    return entry


def test_layers_side_by_side_end_as_one_after_another(engine: Engine) -> None:
    """Whatever a layer says of those below it, which are not there yet when it is unpacked."""
    docker = engine.docker
    layers = [
        heavy(1, {"own/": directory(0o2750, 42), "own/kept": b"1", "own/gone": b"1", "full/": b"", "full/old": b"1"}),
        images.pack({"own/.wh.gone": b"", "own/small": b"2"}),  # through a directory that it does not name
        heavy(3, {"full/.wh..wh..opq": b"", "full/new": b"3", "own/kept": b"3"}),
        images.pack({"own/link": images.link("kept"), "full/.wh.new": b"", "full/last": b"4"}),
    ]
    docker.ok("load", "-q", stdin=images.docker_archive("side:1", {"Cmd": ["sh"]}, *layers), timeout=120)
    look = "stat -c '%a %u:%g' /own; cat /own/link; ls /own /full /heavy"
    said = docker.ok("run", "--rm", "side:1", "sh", "-c", look)
    assert " ".join(said.split()) == "2750 42:42 3/full: last /heavy: 1 3 /own: kept link small"
    docker.ok("rmi", "side:1")
    settled(engine)


def test_death_of_an_unpacking_process_fails_that_load_alone(engine: Engine) -> None:
    docker, archive = engine.docker, engine.root / "dying.tar"
    archive.write_bytes(images.docker_archive("dying:1", {"Cmd": ["sh"]}, heavy(5, {}), heavy(6, {})))
    until(lambda: not engine.unpackers(), "idle processes end", 30)

    def failed() -> str:
        docker("rmi", "dying:1")
        child = docker.start("load", "-q", "-i", str(archive))
        try:
            until(lambda: engine.unpackers() or child.poll() is not None, "a process unpacks")
            for pid in engine.unpackers():
                os.kill(pid, signal.SIGKILL)
            return child.communicate(timeout=60)[1].decode() if child.wait(60) else ""
        finally:
            end(child)

    containerd = engine.containerd()
    assert "died: killed by signal 9" in until(failed, "a load whose processes were killed fails", 120)
    docker.ok("load", "-q", "-i", str(archive), timeout=120)
    assert docker.ok("run", "--rm", "dying:1", "ls", "/heavy").split() == ["5", "6"]
    assert engine.containerd() == containerd
    docker.ok("rmi", "dying:1")
    settled(engine)
