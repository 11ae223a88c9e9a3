import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos import errdefs
from services.dockerd.filters import Filters
from services.dockerd.volumes import prune
from services.dockerd.volumes.store import ANONYMOUS, Volumes, usage

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = Volumes(tmp_path / "volumes")
    made.load()
    yield made
    made.close()


def again(volumes: Volumes) -> Volumes:
    other = Volumes(volumes.root)
    other.load()
    return other


def test_volume_survives_restart(volumes: Volumes) -> None:
    events: list[tuple[str, str]] = []
    volumes.emit = lambda action, name, attributes: events.append((action, name))
    volume, new = volumes.create("data", labels={"a": "b"})
    assert new and volume.path.is_dir() and volume.path.stat().st_mode & 0o777 == 0o755
    assert volumes.create("data", labels={"other": ""}) == (volume, False)
    found = again(volumes).get("data")
    assert (found.labels, found.created, found.options) == ({"a": "b"}, volume.created, None)
    assert events == [("create", "data")] and volumes.root.stat().st_mode & 0o777 == 0o700


def test_anonymous_volume_has_long_name(volumes: Volumes) -> None:
    volume, _ = volumes.create()
    assert len(volume.name) == 64 and volume.anonymous and volume.labels == {ANONYMOUS: ""}


def test_inspect_shows_dockers_keys(volumes: Volumes) -> None:
    volume, _ = volumes.create("data", options={"type": "tmpfs", "device": "tmpfs"})
    assert volumes.inspect(volume) == {
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
        volumes.create(name)
    assert not [each for each in volumes.root.iterdir() if not each.name.startswith(".")]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"foo": "x"}, 'create data: invalid option: "foo"'),
        ({"type": "nfs"}, 'create data: missing required option: "device"'),
        ({"o": "ro", "device": "x"}, 'create data: missing required option: "type"'),
        ({"size": "1g"}, "create data: quota size requested but no quota support"),
    ],
)
def test_bad_option_is_refused(volumes: Volumes, options: dict[str, str], text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=text):
        volumes.create("data", options=options)


def test_unknown_driver_is_not_found(volumes: Volumes) -> None:
    with pytest.raises(errdefs.NotFound, match='looking up volume plugin foo: plugin "foo" not found'):
        volumes.create("data", "foo")


def test_used_volume_is_kept(volumes: Volumes) -> None:
    volumes.create("data")
    volumes.refer("data", "c2")
    volumes.refer("data", "c1")
    with pytest.raises(errdefs.Conflict, match=r"remove data: volume is in use - \[c1, c2\]"):
        volumes.remove("data", force=True)
    volumes.release("data", "c1")
    volumes.release("data", "c2")
    assert volumes.remove("data") and "data" not in volumes
    with pytest.raises(errdefs.NotFound, match="get data: no such volume"):
        volumes.remove("data")
    assert not volumes.remove("data", force=True)


def test_rests_are_swept(volumes: Volumes) -> None:
    (volumes.root / ".gone-1/_data").mkdir(parents=True)
    (volumes.root / ".new-1/_data").mkdir(parents=True)
    (volumes.root / "metadata.db").touch()
    other = again(volumes)
    other.close()
    assert not list(other) and sorted(each.name for each in volumes.root.iterdir()) == ["metadata.db"]


def test_torn_metadata_is_survived(volumes: Volumes) -> None:
    volume, _ = volumes.create("data", labels={"a": "b"})
    (volume.path.parent / "metadata.json").write_text('{"Labels"')
    found = again(volumes).get("data")
    assert found.labels is None and found.created.endswith("Z")


def test_link_is_no_volume(volumes: Volumes, tmp_path: Path) -> None:
    (tmp_path / "elsewhere/_data").mkdir(parents=True)
    (volumes.root / "trap").symlink_to(tmp_path / "elsewhere")
    assert "trap" not in again(volumes)


@root_only
def test_device_is_mounted_while_used(volumes: Volumes) -> None:
    volume, _ = volumes.create("data", options={"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=700"})

    async def use() -> None:
        assert await volumes.attach("data", "c1") == str(volume.path)
        assert await volumes.attach("data", "c2") == str(volume.path)
        assert volume.path.is_mount()
        await volumes.detach("data", "c1")
        await volumes.detach("data", "c1")
        assert volume.path.is_mount()
        await volumes.detach("data", "c2")
        assert not volume.path.is_mount()

    asyncio.run(use())


@root_only
def test_failing_mount_says_why(volumes: Volumes, tmp_path: Path) -> None:
    volume, _ = volumes.create("data", options={"type": "none", "device": str(tmp_path / "nosuch"), "o": "bind"})
    expected = (
        f"error while mounting volume '{volume.path}': failed to mount local volume: "
        f"mount {tmp_path}/nosuch:{volume.path}, flags: 0x1000: no such file or directory"
    )
    with pytest.raises(errdefs.Internal) as caught:
        asyncio.run(volumes.attach("data", "c1"))
    assert str(caught.value) == expected and not volume.active


@root_only
def test_subpath_is_pinned(volumes: Volumes) -> None:
    volume, _ = volumes.create("data")
    (volume.path / "in/side").mkdir(parents=True)
    (volume.path / "in/side/file").write_text("here")
    (volume.path / "link").symlink_to("/in")
    (volume.path / "out").symlink_to("../../../../../../../../etc")

    async def use() -> None:
        for inside in ("in/side", "link/side"):
            assert Path(await volumes.attach("data", "c1", inside), "file").read_text() == "here"
        file = await volumes.attach("data", "c1", "in/side/file")
        assert Path(file).read_text() == "here"
        with pytest.raises(errdefs.InvalidArgument, match="cannot access path out"):
            await volumes.attach("data", "c1", "out")
        await volumes.detach("data", "c1")

    asyncio.run(use())
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(volumes.root) in line]
    assert not list((volumes.root / ".pinned").iterdir())


def test_prune_takes_unused_anonymous_volumes(volumes: Volumes) -> None:
    volumes.create("named")
    anonymous = volumes.create()[0]
    (anonymous.path / "file").write_bytes(b"x" * 10_000)
    subprocess.run(["sync", str(anonymous.path / "file")], check=True)
    used = volumes.create()[0]
    volumes.refer(used.name, "c1")
    size = usage(anonymous)
    removed = asyncio.run(prune.prune(volumes, Filters(), anonymous_only=True))
    assert removed == ([anonymous.name], size) and size >= 10_000
    assert asyncio.run(prune.prune(volumes, Filters({"label": ["x"], "all": ["true"]}), anonymous_only=True))[0] == []
    assert asyncio.run(prune.prune(volumes, Filters({"all": ["1"]}), anonymous_only=True))[0] == ["named"]
