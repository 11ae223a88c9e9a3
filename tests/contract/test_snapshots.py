"""The snapshotter suite, bound to every storage driver."""

from pathlib import Path

import pytest

from services.containerd.snapshots.native import Native
from services.containerd.snapshots.overlay import Overlay
from tests.contract.snapshots import SnapshotterSuite


class TestNative(SnapshotterSuite):
    driver = Native


@pytest.mark.skipif("overlay" not in Path("/proc/filesystems").read_text(), reason="the kernel has no overlayfs")
class TestOverlay(SnapshotterSuite):
    driver = Overlay
