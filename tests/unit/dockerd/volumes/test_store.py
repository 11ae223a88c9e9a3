import asyncio
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from protos import errdefs
from services.dockerd.filters import Filters
from services.dockerd.volumes import prune
from services.dockerd.volumes.store import Volumes, usage
from services.dockerd.volumes.volume import ANONYMOUS, Volume

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = Volumes(tmp_path / "volumes", tmp_path / "run")
    made.load()
    yield made
    made.close()


def again(volumes: Volumes) -> Volumes:
    other = Volumes(volumes.root, volumes.root.parent / "run")
    other.load()
    return other


def make(
    volumes: Volumes, name: str = "", driver: str = "", options: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Volume:
    return asyncio.run(volumes.create(name, driver, options, labels))[0]


def remove(volumes: Volumes, name: str, *, force: bool = False) -> bool:
    return asyncio.run(volumes.remove(name, force=force))


def test_volume_survives_restart(volumes: Volumes) -> None:
    events: list[tuple[str, str]] = []
    volumes.emit = lambda action, name, attributes: events.append((action, name))
    volume, new = asyncio.run(volumes.create("data", labels={"a": "b"}))
    assert new and volume.path.is_dir() and volume.path.stat().st_mode & 0o777 == 0o755
    assert asyncio.run(volumes.create("data", labels={"other": ""})) == (volume, False)
    found = again(volumes).get("data")
    assert (found.labels, found.created, found.options) == ({"a": "b"}, volume.created, None)
    assert events == [("create", "data")] and volumes.root.stat().st_mode & 0o777 == 0o700


def test_anonymous_volume_has_long_name(volumes: Volumes) -> None:
    volume = make(volumes)
    assert len(volume.name) == 64 and volume.anonymous and volume.labels == {ANONYMOUS: ""}


def test_inspect_shows_dockers_keys(volumes: Volumes) -> None:
    volume = make(volumes, "data", options={"type": "tmpfs", "device": "tmpfs"})
    assert volume.to_api() == {
        "CreatedAt": volume.created,
        "Driver": "local",
        "Labels": None,
        "Mountpoint": str(volume.path),
        "Name": "data",
        "Options": {"type": "tmpfs", "device": "tmpfs"},
        "Scope": "local",
    }
    stored = json.loads((volume.path.parent / "opts.json").read_text())
    assert stored["MountType"] == "tmpfs"
    assert again(volumes).get("data").options == {"type": "tmpfs", "device": "tmpfs"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a", "create a: volume name is too short, names should be at least two alphanumeric characters"),
        ("../x", 'create ../x: "../x" includes invalid characters for a local volume name, only '),
        ("a/b", "includes invalid characters"),
        (".hidden", "includes invalid characters"),
        ("ab\n", "includes invalid"),
        ("ä" * 3, "includes invalid characters"),
        ("x" * 256, "includes invalid characters"),
    ],
)
def test_bad_name_is_refused(volumes: Volumes, name: str, text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=text.replace("(", "\\(")):
        make(volumes, name)
    assert not [each for each in volumes.root.iterdir() if not each.name.startswith(".")]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"foo": "x"}, 'create data: invalid option: "foo"'),
        ({"type": "nfs"}, 'create data: missing required option: "device"'),
        ({"o": "ro", "device": "x"}, 'create data: missing required option: "type"'),
        ({"size": "much"}, "create data: invalid size: 'much'"),
    ],
)
def test_bad_option_is_refused(volumes: Volumes, options: dict[str, str], text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=text):
        make(volumes, "data", options=options)


def test_unknown_driver_is_not_found(volumes: Volumes) -> None:
    with pytest.raises(errdefs.NotFound, match='looking up volume plugin foo: plugin "foo" not found'):
        make(volumes, "data", "foo")


def test_used_volume_is_kept(volumes: Volumes) -> None:
    make(volumes, "data")
    volumes.refer("data", "c2")
    volumes.refer("data", "c1")
    with pytest.raises(errdefs.Conflict, match=r"remove data: volume is in use - \[c1, c2\]"):
        remove(volumes, "data", force=True)
    volumes.release("data", "c1")
    volumes.release("data", "c2")
    assert remove(volumes, "data") and "data" not in volumes
    with pytest.raises(errdefs.NotFound, match="get data: no such volume"):
        remove(volumes, "data")
    assert not remove(volumes, "data", force=True)


def test_rests_are_swept(volumes: Volumes) -> None:
    (volumes.root / ".gone-1/_data").mkdir(parents=True)
    (volumes.root / ".new-1/_data").mkdir(parents=True)
    (volumes.root / "metadata.db").touch()
    other = again(volumes)
    other.close()
    assert not list(other) and sorted(each.name for each in volumes.root.iterdir()) == ["metadata.db"]


def test_torn_metadata_is_survived(volumes: Volumes) -> None:
    volume = make(volumes, "data", labels={"a": "b"})
    (volume.path.parent / "metadata.json").write_text('{"Labels"')
    found = again(volumes).get("data")
    assert found.labels is None and found.created.endswith("Z")


def test_link_is_no_volume(volumes: Volumes, tmp_path: Path) -> None:
    (tmp_path / "elsewhere/_data").mkdir(parents=True)
    (volumes.root / "trap").symlink_to(tmp_path / "elsewhere")
    assert "trap" not in again(volumes)


def test_prune_takes_unused_anonymous_volumes(volumes: Volumes) -> None:
    make(volumes, "named")
    anonymous = make(volumes)
    (anonymous.path / "file").write_bytes(b"x" * 10_000)
    subprocess.run(["sync", str(anonymous.path / "file")], check=True)
    used = make(volumes)
    volumes.refer(used.name, "c1")
    size = usage(anonymous)
    removed = asyncio.run(prune.prune(volumes, Filters(), anonymous_only=True))
    assert removed == ([anonymous.name], size) and size >= 10_000
    assert asyncio.run(prune.prune(volumes, Filters({"label": ["x"], "all": ["true"]}), anonymous_only=True))[0] == []
    assert asyncio.run(prune.prune(volumes, Filters({"all": ["1"]}), anonymous_only=True))[0] == ["named"]


def test_name_of_another_driver_is_taken(volumes: Volumes) -> None:
    make(volumes, "data")
    with pytest.raises(errdefs.Conflict, match="driver 'local' already has volume 'data': volume name must be unique"):
        make(volumes, "data", "other")


def test_options_survive_as_they_were_given(volumes: Volumes) -> None:
    options = {"type": "nfs", "device": ":/x", "o": "addr=1.2.3.4,rw"}
    make(volumes, "data", options=options)
    assert again(volumes).get("data").options == options
    (volumes.root / "data/metadata.json").write_text("{}")  # as another engine has left it
    assert again(volumes).get("data").options == options


def test_mark_of_a_copy_survives(volumes: Volumes) -> None:
    volume = make(volumes, "data")
    volumes.filling(volume, done=False)
    assert again(volumes).get("data").unfilled
    volumes.filling(volume, done=True)
    assert not again(volumes).get("data").unfilled
