"""Archives that lead astray: `docker load` refuses them, nothing is kept, and the host's files are untouched."""

import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import images
from tests.harness.check import settled
from tests.harness.engine import Engine
from tests.harness.http import API

pytestmark = pytest.mark.ours
Files = dict[str, bytes | tarfile.TarInfo]


@pytest.fixture
def sentinel(engine: Engine) -> Iterator[Path]:
    place = engine.root / "sentinel"
    place.mkdir()
    (place / "file").write_bytes(b"untouched")
    (place / "file").chmod(0o600)
    before = look(place)
    yield place
    assert look(place) == before
    (place / "file").unlink()
    place.rmdir()


def look(place: Path) -> list[tuple[str, bytes, int, int]]:
    found = []
    for path in sorted(place.iterdir()):
        facts = path.stat()
        found.append((path.name, path.read_bytes(), facts.st_mode, facts.st_nlink))
    return found


def layer(files: Files) -> bytes:
    return images.docker_archive("evil:1", {"Cmd": ["sh"]}, images.pack(files), base=False)


def archive(**documents: Any) -> bytes:
    files: dict[str, bytes | tarfile.TarInfo] = {}
    for name, body in documents.items():
        files[name.replace("_", ".")] = body if isinstance(body, bytes) else json.dumps(body).encode()
    return images.pack(files)


def kind(number: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo()
    entry.type, entry.linkname = number, target
    return entry


LAYERS: dict[str, Callable[[Path], Files]] = {
    "parent": lambda place: {f"../../../../../../..{place}/file": b"x"},
    "parent of a link": lambda place: {"a": images.link("../../../../../../../file", tarfile.LNKTYPE)},
    "hard link to the host": lambda place: {"a": images.link(f"{place}/file", tarfile.LNKTYPE)},
    "whiteout of a parent": lambda place: {".wh...": b""},
    "whiteout of nothing": lambda place: {"d/.wh.": b""},
    "root that is a file": lambda place: {".": images.link("/", tarfile.SYMTYPE)},
    "device out of bounds": lambda place: {"a": bounded()},
}
HARMLESS: dict[str, Callable[[Path], Files]] = {
    "link to the host, written through": lambda place: {"d": images.link(str(place)), "d/file": b"x"},
    "link to the host, whiteout through": lambda place: {"d": images.link(str(place)), "d/.wh.file": b""},
    "link to the host, emptied": lambda place: {"d": images.link(str(place)), "d/.wh..wh..opq": b""},
    "absolute name": lambda place: {f"{place}/file": b"x"},
    "link replaced by a directory": lambda place: {"d": images.link(str(place)), "d/": b"", "d/file": b"x"},
}
BAD_LINE = [{"Config": "c", "RepoTags": ["evil:1"], "Layers": ["../../etc/passwd"]}]
ARCHIVES: dict[str, Callable[[], bytes]] = {
    "no manifest": lambda: archive(other_json=[]),
    "manifest that is no list": lambda: archive(manifest_json={}),
    "manifest of numbers": lambda: archive(manifest_json=[1]),
    "deep manifest": lambda: archive(manifest_json=b"[" * 200_000 + b"]" * 200_000),
    "large manifest": lambda: archive(manifest_json=b"[" + b" " * (5 << 20) + b"]"),
    "blob elsewhere": lambda: archive(manifest_json=BAD_LINE, c={"rootfs": {"type": "layers", "diff_ids": []}}),
    "config that is no object": lambda: archive(
        manifest_json=[{"Config": "c", "RepoTags": ["evil:1"], "Layers": []}], c=[]
    ),
    "name that is none": lambda: archive(
        manifest_json=[{"Config": "c", "RepoTags": ["../../EVIL"], "Layers": []}], c={"rootfs": {}}
    ),
    "other layer than promised": lambda: images.docker_archive(
        "evil:1", {}, images.pack({"a": b"a"}), base=False,
        rootfs={"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
    ),
    "link in a circle": lambda: images.pack({
        "manifest.json": json.dumps([{"Config": "a", "RepoTags": [], "Layers": []}]).encode(),
        "a": images.link("b"), "b": images.link("a"),
    }),
    "cut short": lambda: images.docker_archive("evil:1", {}, images.pack({"a": b"a" * 9000}), base=False)[:5000],
}


def bounded() -> tarfile.TarInfo:
    entry = kind(tarfile.CHRTYPE)
    entry.devmajor, entry.devminor = 0o7777777, 0o7777777
    return entry


@pytest.fixture(scope="module", autouse=True)
def nothing_kept(engine: Engine) -> Iterator[None]:
    """Of all archives here together, once what they brought is collected."""
    before = settled(engine)
    yield
    after = settled(engine)
    assert (after["blobs"], after["snapshots"]) == (before["blobs"], before["snapshots"])


def refused(engine: Engine, data: bytes) -> str:
    result = engine.docker("load", stdin=data)
    assert result.code or "error" in result.err.lower(), str(result)
    assert not engine.docker.ok("images", "-q", "evil")
    return result.err


@pytest.mark.parametrize("name", LAYERS)
def test_layer_is_refused(engine: Engine, sentinel: Path, name: str) -> None:
    said = refused(engine, layer(LAYERS[name](sentinel)))
    assert "layer" in said


@pytest.mark.parametrize("name", HARMLESS)
def test_layer_stays_inside(engine: Engine, sentinel: Path, name: str) -> None:
    result = engine.docker("load", stdin=layer(HARMLESS[name](sentinel)))
    if not result.code:
        engine.docker.ok("rmi", "evil:1")


@pytest.mark.parametrize("name", ARCHIVES)
def test_archive_is_refused(engine: Engine, api: API, name: str) -> None:
    refused(engine, ARCHIVES[name]())
    assert api("GET", "/_ping").status == 200
