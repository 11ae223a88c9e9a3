"""What `docker-containerd check` finds in a thin pool: each way in which it may not agree with the records."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.containerd.snapshots.devicemapper import records
from services.containerd.snapshots.devicemapper.audit import audit
from services.containerd.snapshots.devicemapper.records import Device, PoolRecord
from tests.fakes import thin
from tests.fakes.mapper import FakeMapper

POOL = PoolRecord("", "", "", thin.BLOCK, "ext4", Device(0, 1 << 30), "some-uuid")
DEVICES = {0: (3, 0), 1: (1, 0), 2: (2, 1)}
ROWS = {1: "base layer", 2: "container"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Of an engine that has ended, on loop files: two snapshots, and one that waits in the trash."""
    root = tmp_path / "devmapper"
    (root / "trash").mkdir(parents=True)
    records.write_pool(root, POOL)
    records.write(root / "1", Device(1, 1 << 30, 1))
    records.write(root / "2", Device(2, 1 << 30, 2))
    thin.metadata(root / "metadata", 2, DEVICES)
    return root


def told(root: Path, rows: dict[int, str] = ROWS) -> list[str]:
    return audit(root, rows, FakeMapper(root))[1]


def test_what_agrees_is_counted(root: Path) -> None:
    assert audit(root, ROWS, FakeMapper(root)) == (6 * thin.BLOCK, [])


def test_missing_device_is_found(root: Path) -> None:
    thin.metadata(root / "metadata", 2, {0: (3, 0), 2: (2, 1)})
    assert told(root) == ["snapshot devmapper/1 (base layer): device 1 is not in the pool"]
    thin.metadata(root / "metadata", 2, {1: (1, 0), 2: (2, 1)})
    assert told(root) == ["thin pool: base device 0 is not in the pool"]


def test_device_of_nobody_is_found(root: Path) -> None:
    thin.metadata(root / "metadata", 2, {**DEVICES, 9: (0, 0)})
    assert told(root) == ["thin pool: device 9 belongs to no snapshot"]
    records.write(root / "trash/5.ab", Device(9, 1 << 30, 1))
    assert told(root) == []


def test_other_device_of_that_number_is_found(root: Path) -> None:
    thin.metadata(root / "metadata", 2, {**DEVICES, 2: (2, 0)})
    assert told(root) == ["snapshot devmapper/2 (container): device 2 is another one: made at 0, not 1"]
    records.write(root / "2", Device(1, 1 << 30, 1))
    assert "snapshot devmapper/2 (container): device 1 is also that of snapshot 1" in told(root)


def test_older_pool_is_found(root: Path) -> None:
    thin.metadata(root / "metadata", 1, DEVICES)
    assert told(root) == ["snapshot devmapper/2 (container): device 2 is of transaction 2, the pool is at 1"]


def test_device_beyond_its_size_is_found(root: Path) -> None:
    records.write(root / "2", Device(2, thin.BLOCK, 2))
    text = f"device 2 has {2 * thin.BLOCK} bytes in a size of {thin.BLOCK}"
    assert told(root) == [f"snapshot devmapper/2 (container): {text}"]


def test_lost_record_is_found(root: Path) -> None:
    (root / "2/device.json").unlink()
    assert told(root) == [
        "thin pool: device 2 belongs to no snapshot",
        "snapshot devmapper/2 (container): the record of its device is missing",
    ]
    (root / "pool.json").unlink()
    assert "no record of their thin pool" in told(root)[0]


def test_missing_pool_is_told(root: Path) -> None:
    (root / "metadata").unlink()
    assert "the thin pool's metadata is missing" in told(root)[0]
    records.write_pool(root, replace(POOL, given="vg-pool"))
    assert told(root) == ["thin pool vg-pool does not exist"]
