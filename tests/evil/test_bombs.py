"""Archives that are small until they are inflated: refused where no honest one is so small, and never held in memory.

The large ones only with `LONG=1`, which `make test-long` sets.
"""

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from tests.fakes.registry import Fake, serving
from tests.harness import images
from tests.harness.archives import header
from tests.harness.check import settled
from tests.harness.engine import Engine

pytestmark = [
    pytest.mark.ours, pytest.mark.usefixtures("images_gone", "nothing_kept"), pytest.mark.limit(300),
    pytest.mark.skipif(not os.environ.get("LONG"), reason="writes gigabytes: make test-long"),
]
PIECE, PIECES = 64 << 20, 40
WORDS = "refused as a bomb"
DIFF_ID = "sha256:" + "0" * 64


@pytest.fixture
def fake(engine: Engine) -> Iterator[Fake]:
    with serving(engine.network, 5110) as fake:
        yield fake


@pytest.fixture
def nothing_kept(engine: Engine) -> Iterator[None]:
    engine.docker.ok("run", "--rm", "busybox", "true")  # what each image has for its containers
    before = settled(engine)
    yield
    after = settled(engine)
    assert (after["blobs"], after["snapshots"]) == (before["blobs"], before["snapshots"])


def packed(pack: Callable[[bytes], bytes], name: bytes) -> bytes:
    """A file of 2.5 GiB of zeros in an archive, compressed piece by piece."""
    return pack(header(name, b"0", PIECE * PIECES)) + pack(bytes(PIECE)) * PIECES + pack(bytes(1024))


def config() -> bytes:
    return images.document([], {"Cmd": ["sh"]}, rootfs={"type": "layers", "diff_ids": [DIFF_ID]}, history=[])


def outer(layer: bytes) -> bytes:
    line = [{"Config": "c", "RepoTags": ["bomb:1"], "Layers": ["l"]}]
    return images.pack({"c": config(), "l": layer, "manifest.json": json.dumps(line).encode()})


def peak(engine: Engine) -> int:
    """Megabytes that docker-containerd has held at most."""
    status = Path(f"/proc/{engine.containerd()}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def refused(engine: Engine, archive: bytes) -> str:
    result = engine.docker("load", stdin=archive, timeout=200)
    assert result.code, str(result)
    return result.err


def test_a_layer_of_zstd_in_an_archive(engine: Engine) -> None:
    assert WORDS in refused(engine, outer(packed(zstandard.compress, b"zeros")))
    assert peak(engine) < 300


def test_an_archive_of_zstd_itself(engine: Engine) -> None:
    assert WORDS in refused(engine, packed(zstandard.compress, b"blob"))


@pytest.mark.parametrize("pack", [zstandard.compress, gzip.compress], ids=["zstd", "gzip"])
def test_a_layer_from_a_registry(engine: Engine, fake: Fake, pack: Callable[[bytes], bytes]) -> None:
    """gzip cannot pack tighter than honest archives do: it is read to its end, which is not the layer promised."""
    layer = packed(pack, b"zeros")
    fake.image("bomb:1", config(), [layer], images.OCI_MANIFEST)
    said = engine.docker.fails("pull", f"{fake.address}/bomb:1", timeout=250)
    assert (WORDS if pack is zstandard.compress else "but its image says") in said
    assert peak(engine) < 300
    assert engine.docker.ok("run", "--rm", "busybox", "echo", "on") == "on"
