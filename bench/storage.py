"""Storage beside docker.io: create and start on an image of one layer and of sixty."""

import time

from bench.metrics import SLEEP, Metric, client
from tests.harness import images
from tests.harness.engine import Engine


def _image(engine: Engine, layers: int) -> str:
    """An image of so many layers, busybox the first; loaded once."""
    name = f"bench-layers:{layers}"
    if engine.docker("image", "inspect", name).code:
        more = [images.pack({f"f{number}": b"x"}) for number in range(layers - 1)]
        engine.docker.ok("load", stdin=images.docker_archive(name, {"Cmd": ["sh"]}, *more), timeout=120)
    return name


def _start(engine: Engine, layers: int) -> float:
    image = _image(engine, layers)
    with client(engine) as api:
        begin = time.perf_counter()
        made = api.create(*SLEEP, Image=image)
        api.expect(204, "POST", f"/containers/{made}/start")
        elapsed = time.perf_counter() - begin
        api.remove(made)
    return elapsed


def on_one(engine: Engine) -> float:
    return _start(engine, 1)


def on_sixty(engine: Engine) -> float:
    return _start(engine, 60)


TABLE = (
    Metric("layers_1", "create and start on an image of 1 layer", "s", on_one, 1.0, rounds=9),
    Metric("layers_60", "create and start on an image of 60 layers", "s", on_sixty, 1.0, rounds=9),
)
