"""Images beside docker.io: load, push, pull, save, commit and rmi of one with many files and of one with a large one;
and the most memory (PSS) that all processes of an engine have at once while they load one.

Each engine has a docker-registry of its own, empty at the beginning of every round.
"""

import hashlib
import io
import shutil
import statistics
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from bench.metrics import pss
from tests.harness import images, leftovers
from tests.harness.engine import Engine
from tests.harness.registry import Registry

LAYERS, FILES, SIZE = 8, 5000, 10_000
LARGE = 1 << 30
TIMEOUT = 600.0
STEPS = ("load", "push", "rmi", "pull", "save", "commit")
TARGETS = {"load": 0.4, "pull": 0.4, "save": 0.5, "push": 0.5, "commit": 1.0, "rmi": 1.0}
PORTS = count(5300)
LOOK = 0.1
"""Seconds from one look at an engine's memory to the next."""


def text(seed: int, size: int) -> bytes:
    """Bytes that compress to about a third, as programs and their data do."""
    half = hashlib.shake_128(str(seed).encode()).digest(size // 6)
    return (half.hex().encode() * 4)[:size]


def many_layers() -> Iterator[bytes]:
    for layer in range(LAYERS):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for number in range(FILES):
                entry = tarfile.TarInfo(f"usr/share/{layer}/{number // 100}/{number}")
                entry.size, entry.mtime = SIZE, 1_600_000_000
                tar.addfile(entry, io.BytesIO(text(layer * FILES + number, SIZE)))
        yield out.getvalue()


def large_layer() -> Iterator[bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo("large")
        entry.size = LARGE
        block = text(1, 1 << 20)
        tar.addfile(entry, io.BytesIO(block * (LARGE >> 20)))
    yield out.getvalue()


@contextmanager
def archives() -> Iterator[dict[str, Path]]:
    """The two images as docker archives, made once."""
    root = Path(tempfile.mkdtemp(prefix="bench-", dir="/dev/shm"))
    try:
        found = {}
        for name, layers in (("many", list(many_layers())), ("large", list(large_layer()))):
            found[name] = root / f"{name}.tar"
            found[name].write_bytes(images.docker_archive(f"bench:{name}", {"Cmd": ["sh"]}, *layers))
        yield found
    finally:
        shutil.rmtree(root)


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def steps(engine: Engine, archive: Path, name: str) -> dict[str, float]:
    """Seconds of each step, from an engine that has busybox alone, back to it."""
    docker, found = engine.docker, {}

    def ok(*words: str) -> None:
        docker.ok(*words, timeout=TIMEOUT)

    with Registry(engine.network, engine.root, next(PORTS)) as registry:
        there, source = f"{registry.address}/bench:{name}", f"bench:{name}"
        found["load"] = timed(lambda: ok("load", "-q", "-i", str(archive)))
        ok("tag", source, there)
        found["push"] = timed(lambda: ok("push", "-q", there))
        ok("rmi", there)
        found["rmi"] = timed(lambda: ok("rmi", source))
        found["pull"] = timed(lambda: ok("pull", "-q", there))
        saved = archive.with_suffix(".saved")
        found["save"] = timed(lambda: ok("save", "-o", str(saved), there))
        saved.unlink()
        ok("run", "--name", "changed", there, "sh", "-c", "cp -a /usr/share/0 /copied 2>/dev/null || cp /large /copied")
        found["commit"] = timed(lambda: ok("commit", "changed", "bench:committed"))
        ok("rm", "changed")
        ok("rmi", "bench:committed", there)
        shutil.rmtree(registry.root)
    return found


def peak(engine: Engine, archive: Path, name: str) -> float:
    """The most PSS that all processes of the engine had at once while it loaded an image."""
    found, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK):
            found.append(sum(pss(pid) for pid in leftovers.processes(engine.network.inode())))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        engine.docker.ok("load", "-q", "-i", str(archive), timeout=TIMEOUT)
    finally:
        ended.set()
        thread.join()
    engine.docker.ok("rmi", f"bench:{name}", timeout=TIMEOUT)
    return max(found)


def measure(ours: Engine, theirs: Engine, rounds: int) -> Iterator[tuple[str, float, float, str, float]]:
    """What, our median, theirs, their unit, and the ratio to reach."""
    with archives() as found:
        for name, archive in found.items():
            what = {"many": "400 MB, 40,000 files, 8 layers", "large": "one file of 1 GB"}[name]
            both: list[list[dict[str, float]]] = [[], []]
            for _ in range(rounds):
                for engine, kept in zip((ours, theirs), both, strict=True):
                    kept.append(steps(engine, archive, name))
            for step in STEPS:
                one, two = (statistics.median(each[step] for each in kept) for kept in both)
                yield f"{step}, {what}", one, two, "s", TARGETS[step]
            yield f"peak memory of load, {what}", peak(ours, archive, name), peak(theirs, archive, name), "B", 1.0
