"""Options of storage drivers and their refusals, in Docker's words."""

from pathlib import Path

import pytest

from protos import errdefs
from services.containerd.snapshots import options
from services.containerd.snapshots.btrfs import Btrfs
from services.containerd.snapshots.driver import Driver
from services.containerd.snapshots.native import Native
from services.containerd.snapshots.overlay import Overlay
from services.containerd.snapshots.single import Single

SIZES = {"1024": 1024, "64m": 64 << 20, "1.5G": 3 << 29, "10GiB": 10 << 30, "2kb": 2048, "7b": 7, "0": 0}


@pytest.mark.parametrize("text", SIZES)
def test_sizes_have_units(text: str) -> None:
    assert options.size(text) == SIZES[text]


@pytest.mark.parametrize("text", ["", "m", "1x", "-", "1 2"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="invalid size: "):
        options.size(text)


def test_keys_have_any_case_and_the_last_counts() -> None:
    assert options.parse(["A.b=1", "a.B = 2 ", "c="]) == {"a.b": "2", "c": ""}
    with pytest.raises(errdefs.InvalidArgument, match="unable to parse key/value option: plain"):
        options.parse(["plain"])


@pytest.mark.parametrize(("kind", "text"), [
    (Overlay, "overlay2: unknown option x"), (Single, "overlay: unknown option x"),
    (Native, "unknown option x for vfs"), (Btrfs, r'Unknown option x \("btrfs" driver\)'),
])
def test_an_unknown_option_is_refused(kind: type[Driver], text: str, tmp_path: Path) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=text):
        kind(tmp_path, {"x": "1"})


def test_docker_options_are_known(tmp_path: Path) -> None:
    Overlay(tmp_path, {"overlay2.size": "1G", "overlay2.override_kernel_check": "true"})
    Native(tmp_path, {"vfs.size": "1G"})
    with pytest.raises(errdefs.InvalidArgument, match=r"btrfs: storage size cannot be less than 10\.49MB"):
        Btrfs(tmp_path, {"btrfs.min_space": "10m"}).make(1, [], writable=True, size=1 << 20)


@pytest.mark.parametrize(("kind", "text"), [
    (Overlay, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"),
    (Single, "--storage-opt is not supported for overlay"),
    (Native, "Filesystem does not support, or has not enabled quotas"),
])
def test_a_size_needs_quotas(kind: type[Driver], text: str, tmp_path: Path) -> None:
    driver = kind(tmp_path / "home")
    driver.open(set())
    with pytest.raises(errdefs.InvalidArgument, match=text):
        driver.make(1, [], writable=True, size=1 << 20)
    assert not (driver.root / "1").exists()
