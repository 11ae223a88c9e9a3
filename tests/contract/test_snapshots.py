"""The snapshotter suite, bound to every storage driver."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.containerd.snapshots.aufs import Aufs
from services.containerd.snapshots.btrfs import Btrfs
from services.containerd.snapshots.native import Native
from services.containerd.snapshots.overlay import Overlay
from services.containerd.snapshots.single import Single
from tests.contract.snapshots import SnapshotterSuite
from tests.harness import loop

_FILESYSTEMS = Path("/proc/filesystems").read_text().split()
_stacking = pytest.mark.skipif("overlay" not in _FILESYSTEMS, reason="the kernel has no overlayfs")


@pytest.fixture(scope="module")
def btrfs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="btrfs-") as path, loop.mounted("btrfs", Path(path)) as volume:
        yield volume


class TestNative(SnapshotterSuite):
    driver = Native


@_stacking
class TestOverlay(SnapshotterSuite):
    driver = Overlay


@_stacking
class TestSingle(SnapshotterSuite):
    driver = Single


@pytest.mark.skipif("aufs" not in _FILESYSTEMS, reason="the kernel has no aufs")
class TestAufs(SnapshotterSuite):
    driver = Aufs


@pytest.mark.skipif(bool(loop.missing("btrfs")), reason=loop.missing("btrfs"))
class TestBtrfs(SnapshotterSuite):
    driver = Btrfs

    @pytest.fixture
    def home(self, btrfs: Path, tmp_path: Path) -> Iterator[Path]:
        path = btrfs / tmp_path.name
        path.mkdir()
        yield path
        driver = Btrfs(path / "driver")
        driver.open(set())
        driver.sweep()
        shutil.rmtree(path)
