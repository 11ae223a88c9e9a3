"""What volumes cost: making one, a run that uses one, and filling a new one from the image."""

import time

from bench.metrics import Metric, client
from tests.harness.engine import Engine

COUNT = 50


def create(engine: Engine) -> float:
    """Seconds of one `POST /volumes/create`."""
    with client(engine) as api:
        begin = time.perf_counter()
        for number in range(COUNT):
            api.expect(201, "POST", "/volumes/create", {"Name": f"bench{number}"})
        elapsed = time.perf_counter() - begin
        for number in range(COUNT):
            api.expect(204, "DELETE", f"/volumes/bench{number}")
    return elapsed / COUNT


def run(engine: Engine) -> float:
    engine.docker.ok("volume", "create", "bench")
    begin = time.perf_counter()
    engine.docker.ok("run", "--rm", "-v", "bench:/data", "busybox", "true")
    elapsed = time.perf_counter() - begin
    engine.docker.ok("volume", "rm", "bench")
    return elapsed


def fill(engine: Engine) -> float:
    """A create whose new volume gets what busybox has in /bin: 400 names."""
    begin = time.perf_counter()
    container = engine.docker.ok("create", "-v", "bench:/bin", "busybox", "true")
    elapsed = time.perf_counter() - begin
    engine.docker.ok("rm", container)
    engine.docker.ok("volume", "rm", "bench")
    return elapsed


TABLE = (
    Metric("volume_create", "API create of a volume", "s", create, 4.0),
    Metric("run_v", "docker run --rm -v volume:/data busybox true", "s", run, 0.5, rounds=7),
    Metric("copy_up", "docker create with a new volume, filled", "s", fill, 1.0),
)
