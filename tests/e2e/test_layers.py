"""Layers of any size go through both daemons in a few megabytes."""

import gzip
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import pytest

from tests.harness.cli import end
from tests.harness.engine import Engine

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
