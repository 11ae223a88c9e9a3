"""The driver over a device-mapper in memory: what it leaves when it dies between any two steps, and what it refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest

from protos import errdefs
from services.containerd.snapshots.devicemapper import records
from services.containerd.snapshots.devicemapper.driver import DeviceMapper
from services.containerd.snapshots.devicemapper.ioctl import Target
from services.containerd.snapshots.devicemapper.records import Device, PoolRecord
from tests.fakes.mapper import UUID, Crash, FakeMapper

BASE = Device(0, 1 << 30)


class World:
    """A root, a kernel and the rows that are there; `driver` is a fresh one each time."""

    def __init__(self, path: Path) -> None:
        self.root = path / "devmapper"
        self.root.mkdir()
        (path / "nodes").mkdir()
        self.kernel = FakeMapper(path / "nodes")
        self.kernel.thin.add(0)
        self.kernel.tables["pool"] = Target(1 << 20, "thin-pool", "7:1 7:0 128 32768 1 skip_block_zeroing")
        records.write_pool(self.root, PoolRecord("pool", "", "", 64 << 10, "ext4", BASE, str(UUID)))
        self.rows: set[int] = set()

    def driver(self, **options: str) -> DeviceMapper:
        given = {"dm.thinpooldev": "pool", **{key.replace("dm_", "dm."): value for key, value in options.items()}}
        driver = DeviceMapper(self.root, given, self.kernel)
        driver.open(self.rows)
        return driver

    def consistent(self) -> bool:
        """Every thin device has a row's record, every row has its device, nobody holds still, the trash is empty."""
        recorded = {each.id for number in self.rows if (each := records.read(self.root / str(number)))}
        return (
            self.kernel.thin == recorded | {0} and len(recorded) == len(self.rows) and not self.kernel.suspended
            and list((self.root / "trash").iterdir()) == []
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def life(world: World) -> None:
    """Makes, stacks, commits and removes, with the rows as the snapshotter keeps them."""
    driver = world.driver()
    driver.make(1, [], writable=True)
    world.rows.add(1)
    driver.mounts(1, [], writable=True)
    driver.seal(1, [])
    driver.mounts(1, [], writable=True)
    driver.make(2, [1], writable=True)
    world.rows.add(2)
    driver.make(3, [1], writable=False)
    world.rows.add(3)
    world.rows.discard(2)
    driver.discard(2)
    driver.sweep()
    driver.make(4, [1], writable=True)
    world.rows.add(4)


def test_life_leaves_what_has_rows(world: World) -> None:
    life(world)
    assert world.consistent()
    assert world.kernel.transaction == 4
    assert world.kernel.said[:2] == ["create_snap 1 0", "set_transaction_id 0 1"]


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_death_at_any_step_is_mended(tmp_path: Path, late: bool) -> None:
    for step in range(200):
        (tmp_path / str(step)).mkdir()
        world = World(tmp_path / str(step))
        world.kernel.fuse, world.kernel.late = step, late
        try:
            life(world)
        except Crash:
            world.kernel.fuse = -1
            driver = world.driver()
            assert world.consistent(), f"after step {step}"
            driver.make(9, [1] if 1 in world.rows else [], writable=True)
            world.rows.add(9)
            assert world.consistent()
        else:
            assert step > 15
            return
    raise AssertionError("the life never ended")


def test_mounts_are_there_again_after_a_boot(world: World) -> None:
    driver = world.driver()
    driver.make(1, [], writable=True)
    world.rows.add(1)
    before = driver.mounts(1, [], writable=True)
    world.kernel.tables = {"pool": world.kernel.tables["pool"]}
    again = world.driver()
    assert again.mounts(1, [], writable=True) == before
    assert (before[0].type, list(before[0].options)) == ("ext4", ["rw"])
    assert len(world.kernel.tables) == 2


def test_looking_leaves_what_was_given_out(world: World) -> None:
    """After a boot a device may be looked at first, and given out meanwhile."""
    driver = world.driver()
    driver.make(1, [], writable=True)
    world.rows.add(1)
    world.kernel.tables = {"pool": world.kernel.tables["pool"]}
    again = world.driver()
    device = records.read(world.root / "1")
    assert device
    with again._active(1, device) as name:
        again.mounts(1, [], writable=True)
    assert name in world.kernel.tables
    again.seal(1, [])
    with again._active(1, device):
        assert name in world.kernel.tables
    assert name not in world.kernel.tables


def test_busy_device_waits_in_the_trash(world: World) -> None:
    driver = world.driver(dm_use_deferred_removal="true", dm_use_deferred_deletion="true")
    driver.make(1, [], writable=True)
    name = Path(driver.mounts(1, [], writable=True)[0].source).name
    world.kernel.open.add(name)
    driver.discard(1)
    driver.sweep()
    assert dict(driver.status())["Deferred Deleted Device Count"] == "1"
    world.kernel.open.clear()
    driver.sweep()
    assert dict(driver.status())["Deferred Deleted Device Count"] == "0"
    assert world.kernel.thin == {0}


def test_busy_device_is_told_without_deferred_deletion(world: World) -> None:
    driver = world.driver()
    driver.make(1, [], writable=True)
    world.kernel.open.add(Path(driver.mounts(1, [], writable=True)[0].source).name)
    driver.discard(1)
    with pytest.raises(OSError, match="busy"):
        driver.sweep()


def test_unrecorded_device_is_left_alone(world: World) -> None:
    world.kernel.thin.add(1)
    driver = world.driver()
    driver.make(1, [], writable=True)
    assert records.read(world.root / "1") == Device(2, BASE.size, 1)
    assert world.kernel.thin == {0, 1, 2}


def test_full_pool_is_refused(world: World) -> None:
    driver = world.driver()
    world.kernel.data_used = 950
    with pytest.raises(errdefs.ResourceExhausted, match="50 free data blocks which is less than minimum required 100"):
        driver.make(1, [], writable=True)
    assert world.kernel.said == []
    world.driver(dm_min_free_space="4%").make(1, [], writable=True)


def tampered_uuid(world: World) -> None:
    records.write_pool(world.root, PoolRecord("pool", "", "", 64 << 10, "ext4", BASE, "another"))


def older_pool(world: World) -> None:
    world.driver().make(1, [], writable=True)
    world.rows.add(1)
    world.kernel.transaction = 0


def used_pool(world: World) -> None:
    (world.root / "pool.json").unlink()
    world.kernel.data_used = 1


def numbered_pool(world: World) -> None:
    (world.root / "pool.json").unlink()
    world.kernel.transaction = 3


def no_pool(world: World) -> None:
    del world.kernel.tables["pool"]


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (tampered_uuid, "Possibly using a different thin pool"), (older_pool, "it is an older copy, or another pool"),
        (used_pool, "that already has used data blocks"), (numbered_pool, "with non-zero transaction ID"),
        (no_pool, "thin pool pool does not exist"),
    ],
)
def test_wrong_pool_is_refused(world: World, harm: Callable[[World], None], text: str) -> None:
    harm(world)
    with pytest.raises((errdefs.FailedPrecondition, errdefs.DataLoss), match=text):
        world.driver()


def test_sizes_only_grow(world: World) -> None:
    driver = world.driver()
    with pytest.raises(errdefs.InvalidArgument, match=r"Container size cannot be smaller than 1\.074GB"):
        driver.make(1, [], writable=True, size=1 << 20)
    with pytest.raises(errdefs.InvalidArgument, match=r"Base device size cannot be smaller than 1\.074GB"):
        world.driver(dm_basesize="1m")


def test_rows_are_dockers(world: World) -> None:
    found = world.driver().status()
    assert [key for key, _ in found][:5] == [
        "Pool Name", "Pool Blocksize", "Base Device Size", "Backing Filesystem", "Udev Sync Supported",
    ]
    assert dict(found)["Data Space Total"] == "65.54MB"
    assert dict(found)["Thin Pool Minimum Free Space"] == "6.554MB"
    assert "Data file" not in dict(found)
