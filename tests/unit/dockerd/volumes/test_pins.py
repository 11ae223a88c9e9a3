import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.dockerd.volumes.pins import Pins

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def pins(tmp_path: Path) -> Iterator[Pins]:
    made = Pins(tmp_path / "pins")
    yield made
    made.sweep()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    (path / "in/side").mkdir(parents=True)
    (path / "in/side/file").write_text("here")
    (path / "link").symlink_to("/in")
    (path / "out").symlink_to("../../../../../../../../etc")
    return path


def test_what_is_inside_is_pinned(pins: Pins, volume: Path) -> None:
    for inside in ("in/side", "link/side"):
        assert Path(pins.volume(str(volume), inside, "c1"), "file").read_text() == "here"
    assert Path(pins.volume(str(volume), "in/side/file", "c1")).read_text() == "here"
    pins.drop("c1")
    assert not list(pins.root.iterdir())


def test_links_lead_nowhere_else(pins: Pins, volume: Path) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=f"cannot access path {volume}/out: no such file or directory"):
        pins.volume(str(volume), "out", "c1")


def test_a_link_put_there_later_changes_nothing(pins: Pins, volume: Path) -> None:
    place = pins.volume(str(volume), "in/side", "c1")
    (volume / "in").rename(volume / "moved")
    (volume / "in").symlink_to("/etc")
    assert [each.name for each in Path(place).iterdir()] == ["file"]


def test_owners_are_told_apart(pins: Pins, volume: Path) -> None:
    mine, theirs = (pins.volume(str(volume), "in", owner) for owner in ("c1", "c2"))
    pins.drop("c1")
    assert not Path(mine).exists() and Path(theirs, "side").is_dir()


def test_images_are_only_read(pins: Pins, volume: Path) -> None:
    layers = [Mount(type="bind", source=str(volume), options=["rbind", "ro"])]
    place = Path(pins.image(layers, "", "sha256:1", "c1"))
    assert (place / "in/side/file").read_text() == "here"
    with pytest.raises(OSError, match="Read-only file system"):
        (place / "new").touch()
    inside = Path(pins.image(layers, "in/side", "sha256:1", "c1"))
    assert (inside / "file").read_text() == "here"
    with pytest.raises(OSError, match="Read-only file system"):
        (inside / "new").touch()


def test_several_layers_are_one(pins: Pins, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    layers = [Mount(type="overlay", source="overlay", options=[f"lowerdir={tmp_path}/a:{tmp_path}/b"])]
    assert sorted(each.name for each in Path(pins.image(layers, "", "sha256:1", "c1")).iterdir()) == ["a", "b"]
