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
ROW = {"Config": "c", "RepoTags": ["evil:1"], "Layers": []}
CONFIG: dict[str, Any] = {"rootfs": {"type": "layers", "diff_ids": []}}
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
    "more layers than its config names": lambda: images.docker_archive(
        "evil:1", {}, images.pack({"a": b"a"}), base=False, rootfs={"type": "layers", "diff_ids": []},
    ),
    "a million layers": lambda: archive(
        manifest_json=[{"Config": "c", "RepoTags": ["evil:1"], "Layers": ["c"] * 600_000}],
        c={"rootfs": {"diff_ids": []}},
    ),
    "tags that are a word": lambda: archive(manifest_json=[{**ROW, "RepoTags": "evil:1"}], c=CONFIG),
    "layers that are a word": lambda: archive(manifest_json=[{**ROW, "Layers": "c"}], c=CONFIG),
    "config that is a number": lambda: archive(manifest_json=[{**ROW, "Config": 5}], c=CONFIG),
    "entry that is null": lambda: archive(manifest_json=[ROW, None], c=CONFIG),
    "second of two is bad": lambda: archive(manifest_json=[ROW, {**ROW, "Config": "absent"}], c=CONFIG),
    "environment that is a number": lambda: archive(manifest_json=[ROW], c={**CONFIG, "config": {"Env": 5}}),
    "label that is a number": lambda: archive(manifest_json=[ROW], c={**CONFIG, "config": {"Labels": {"a": 5}}}),
    "number without bounds": lambda: archive(manifest_json=[ROW], c={**CONFIG, "config": {"StopTimeout": 2**70}}),
    "history that is a word": lambda: archive(manifest_json=[ROW], c={**CONFIG, "history": "x"}),
    "time that is none": lambda: archive(manifest_json=[ROW], c={**CONFIG, "created": "yesterday"}),
    "deep config": lambda: archive(manifest_json=[ROW], c=b'{"x":' * 100_000 + b"1" + b"}" * 100_000),
    "index that is a manifest too": lambda: archive(index_json={"manifests": [], "layers": [], "config": {}}),
    "index that is a manifest to Go": lambda: archive(index_json={"manifests": [], "Layers": []}),
    "index of a blob with other bytes": lambda: images.pack({
        "index.json": json.dumps({"manifests": [{"digest": "sha256:" + "0" * 64, "size": 2}]}).encode(),
        f"blobs/sha256/{'0' * 64}": b"{}",
    }),
    "directory without end": lambda: directory_of(1 << 40),
    "link in a circle": lambda: images.pack({
        "manifest.json": json.dumps([{"Config": "a", "RepoTags": [], "Layers": []}]).encode(),
        "a": images.link("b"), "b": images.link("a"),
    }),
    "cut short": lambda: images.docker_archive("evil:1", {}, images.pack({"a": b"a" * 9000}), base=False)[:5000],
}


def directory_of(size: int) -> bytes:
    """One that says it has data, of which some comes."""
    entry = kind(tarfile.DIRTYPE)
    entry.name, entry.size = "d", size
    return entry.tobuf() + bytes(9 << 20)


def bounded() -> tarfile.TarInfo:
    entry = kind(tarfile.CHRTYPE)
    entry.devmajor, entry.devminor = 0o7777777, 0o7777777
    return entry


@pytest.fixture(scope="module", autouse=True)
def nothing_kept(engine: Engine) -> Iterator[None]:
    """Of all archives here together, once what they brought is collected."""
    engine.docker.ok("run", "--rm", "busybox", "true")  # what the image has for its containers
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
    assert api("GET", "/images/json").status == 200


SILENT: dict[str, Any] = {
    "nulls": dict.fromkeys(("created", "author", "os", "history", "variant")),
    "null within": {"config": {"Cmd": None, "Env": ["A=b"], "Labels": {"a": None}, "ExposedPorts": {"80/tcp": None}}},
    "steps without times": {"history": [{"created_by": "x"}, None, {"created": None, "empty_layer": True}]},
    "half of a pair": {"author": "\ud800", "config": {"Labels": {"a": "\udfff"}, "Env": ["A=\ud800"]}},
    "parts nobody reads": {"id": 5, "container_config": "x", "config": {"Unknown": [1]}},
}


@pytest.mark.parametrize("name", SILENT)
def test_config_that_says_little_is_an_image_as_others(engine: Engine, api: API, name: str) -> None:
    """It can be listed, looked at, run and saved: one image never is in the way of all others."""
    fields = {"history": None, **SILENT[name]}
    data = images.docker_archive("evil:1", fields.pop("config", None) or {}, **fields)
    assert api("POST", "/images/load", data).status == 200
    try:
        for path in ("images/json", "images/evil:1/json", "images/evil:1/history", "system/df", "images/evil:1/get"):
            assert api("GET", f"/{path}").status == 200, path
        assert engine.docker.ok("run", "--rm", "evil:1", "echo", "on") == "on"
    finally:
        engine.docker.ok("rmi", "-f", "evil:1")


def test_last_of_two_members_counts(engine: Engine) -> None:
    """As for whoever unpacks the archive into a directory first."""
    good = images.docker_archive("evil:1", {"Labels": {"which": "last"}}, base=True)
    first = archive(manifest_json=[{**ROW, "Config": "absent"}])
    assert "Loaded image: evil:1" in engine.docker("load", stdin=first[:1024] + good).out
    assert engine.docker.ok("inspect", "-f", "{{.Config.Labels.which}}", "evil:1") == "last"
    engine.docker.ok("rmi", "evil:1")


def test_manifest_json_counts_beside_an_index(engine: Engine) -> None:
    good = images.docker_archive("evil:1", {"Labels": {"which": "manifest"}}, base=True)
    other = archive(index_json={"manifests": [{"digest": "sha256:" + "0" * 64, "size": 2}]})
    assert "Loaded image: evil:1" in engine.docker("load", stdin=other[:1024] + good).out
    assert engine.docker.ok("inspect", "-f", "{{.Config.Labels.which}}", "evil:1") == "manifest"
    engine.docker.ok("rmi", "evil:1")
