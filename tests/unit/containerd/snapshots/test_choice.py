"""Which storage driver is in use, by what was told, what was used before, and what works."""

from collections.abc import Collection
from pathlib import Path

import pytest

from protos import errdefs
from services.containerd.snapshots.choice import DRIVERS, Choice, choose
from services.containerd.snapshots.overlay import Overlay


def pick(path: Path, told: str = "", used: Collection[str] = (), *options: str) -> Choice:
    scratch = path / "scratch"
    scratch.mkdir(exist_ok=True)
    return choose(path, scratch, told, options, used)


@pytest.fixture
def unstacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Overlay, "refusal", lambda driver, scratch: "no overlayfs")


@pytest.mark.usefixtures("unstacked")
class TestWithoutOverlayfs:
    def test_the_first_that_works_is_chosen(self, tmp_path: Path) -> None:
        choice = pick(tmp_path)
        assert choice.drivers[0].name == "native"
        assert choice.refused["overlayfs"] == "no overlayfs"
        assert "not on btrfs" in choice.refused["btrfs"]

    def test_what_was_used_is_not_given_up(self, tmp_path: Path) -> None:
        text = "error initializing graphdriver: driver not supported: prior storage driver overlay2: no overlayfs"
        with pytest.raises(errdefs.FailedPrecondition, match=text):
            pick(tmp_path, "", ["overlayfs"])

    def test_what_is_told_is_not_replaced(self, tmp_path: Path) -> None:
        with pytest.raises(errdefs.FailedPrecondition, match="driver not supported: overlay2: no overlayfs"):
            pick(tmp_path, "overlayfs")


def test_every_driver_is_served_or_refused(tmp_path: Path) -> None:
    choice = pick(tmp_path, "native")
    found = [driver.name for driver in choice.drivers]
    assert found[0] == "native"
    assert sorted([*found, *choice.refused]) == sorted(kind.name for kind in DRIVERS)


def test_prior_state_decides(tmp_path: Path) -> None:
    assert pick(tmp_path, "", ["native"]).drivers[0].name == "native"
    assert pick(tmp_path, "native", ["overlayfs", "native"]).drivers[0].name == "native"
    with pytest.raises(errdefs.InvalidArgument, match="contains several valid graphdrivers: overlay2, vfs; cleanup or"):
        pick(tmp_path, "", ["native", "overlayfs"])


def test_options_are_those_of_the_chosen(tmp_path: Path) -> None:
    assert pick(tmp_path, "native", (), "vfs.size=1G").drivers[0].name == "native"
    with pytest.raises(errdefs.InvalidArgument, match=r"error initializing graphdriver: unknown option overlay2\.size"):
        pick(tmp_path, "native", (), "overlay2.size=1G")


def test_an_unknown_driver_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="error initializing graphdriver: driver not supported: zfs"):
        pick(tmp_path, "zfs")
