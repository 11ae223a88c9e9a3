"""How many layers come and go at once, and how often one is tried: a registry of ours looks, by flags and by keys."""

import os
import threading
import time
import uuid
from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest

from tests.fakes import registry
from tests.harness import images, told
from tests.harness.engine import REFERENCE, Engine
from tests.harness.wait import PATIENCE

ROWS: list[told.Row] = [
    (("--max-concurrent-downloads=2",), "max-concurrent-downloads", 2),
    (("--max-concurrent-uploads", "3"), "max-concurrent-uploads", 3),
    (("--max-download-attempts=2",), "max-download-attempts", 2),
]
LAYERS = 6


class Gate:
    """Holds whoever comes until `full` are there, and then a little longer, in which one too many would be seen."""

    def __init__(self, full: int) -> None:
        self.full, self.inside, self.most = full, 0, 0
        self.changed = threading.Condition()

    def hold(self) -> None:
        with self.changed:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.most >= self.full, 20 * PATIENCE)
        time.sleep(0.3)

    def leave(self) -> None:
        with self.changed:
            self.inside -= 1


@pytest.fixture(scope="module", params=told.BY)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    made = Engine()
    try:
        made.flags = told.words(request.param, ROWS, made.root / "daemon.json")
        made.start()
        yield made
        made.stop()
    finally:
        made.close()


def layers() -> list[bytes]:
    return [images.pack({f"f{number}": os.urandom(64)}) for number in range(LAYERS)]


def test_downloads_at_once(engine: Engine) -> None:
    gate = Gate(2)
    with registry.serving(engine.network, 5091) as fake:
        mine = layers()
        blobs = {f"/v2/x/blobs/{images.digest(layer)}" for layer in mine}
        fake.image("x:1", images.document(mine, {}), mine)

        def count(handler: registry.Handler) -> bool:
            if handler.path not in blobs:
                return False
            gate.hold()
            registry.plain(handler, fake)
            gate.leave()
            return True

        fake.rules.append(count)
        engine.docker.ok("pull", "-q", f"{fake.address}/x:1")
    assert gate.most == 2


def test_uploads_at_once(engine: Engine) -> None:
    gate = Gate(3)
    engine.docker.ok("load", "-q", stdin=images.docker_archive("127.0.0.1:5092/y:1", {}, *layers(), base=False))
    with registry.serving(engine.network, 5092) as fake:

        sizes: dict[str, int] = {}

        def take(handler: registry.Handler) -> bool:
            """Any blob and any manifest; who asks for a blob is told whether it is there."""
            data = registry.body(handler)
            path, _, query = handler.path.partition("?")
            digest = parse_qs(query).get("digest", [""])[0]
            if path == "/v2/":
                return False
            if handler.command == "POST":
                gate.hold()
                registry.send(handler, 202, headers={"Location": f"{path}{uuid.uuid4()}"})
            elif handler.command == "PATCH":
                sizes[path] = len(data)
                registry.send(handler, 202, headers={"Location": path, "Range": f"0-{len(data) - 1}"})
            elif handler.command == "PUT":
                if digest:
                    sizes[f"/v2/y/blobs/{digest}"] = sizes.get(path, 0) + len(data)
                    gate.leave()
                registry.send(handler, 201, headers={"Docker-Content-Digest": digest or images.digest(data)})
            else:
                there = {"Content-Length": str(sizes.get(path, 0))}
                registry.send(handler, 200 if path in sizes else 404, headers=there)
            return True

        fake.rules.append(take)
        engine.docker.ok("push", "-q", f"{fake.address}/y:1")
    assert gate.most == 3


def test_attempts(engine: Engine) -> None:
    with registry.serving(engine.network, 5093) as fake:
        (layer,) = layers()[:1]
        blob = f"/v2/z/blobs/{images.digest(layer)}"
        fake.image("z:1", images.document([layer], {}), [layer])

        def cut(handler: registry.Handler) -> bool:
            if handler.path != blob:
                return False
            registry.send(handler, 200, layer[:10], {"Content-Length": str(len(layer))})
            handler.close_connection = True
            return True

        fake.rules.append(cut)
        assert "unexpected EOF" in engine.docker.fails("pull", "-q", f"{fake.address}/z:1")
        assert len(fake.asked(blob)) == (3 if REFERENCE else 2), "Debian's counts what follows the first"
