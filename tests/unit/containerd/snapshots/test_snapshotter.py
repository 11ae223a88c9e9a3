"""The states of a snapshot while a slow driver makes it, and after a crash in the middle."""

import asyncio
import threading
from pathlib import Path

import pytest

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.containerd.snapshots.driver import Driver
from services.containerd.snapshots.snapshotter import Snapshotter, choose
from tests.unit.containerd.metadata.stores import NS, Stores, open_stores


class Slow(Driver):
    """A driver whose `make` waits until it is let go."""

    name = "overlayfs"
    root = Path("/nowhere")

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.known: set[int] = set()
        self.discarded: list[int] = []

    def open(self, known: set[int]) -> None:
        self.known = known

    def make(self, number: int, parents: list[int], *, writable: bool, size: int = 0) -> None:
        self.begun.set()
        self.go.wait(10)

    def mounts(self, number: int, parents: list[int], *, writable: bool) -> list[Mount]:
        return [Mount(source=str(number), options=[str(parent) for parent in parents])]

    def discard(self, number: int) -> None:
        self.discarded.append(number)

    def sweep(self) -> None:
        return

    def usage(self, number: int, parents: list[int]) -> tuple[int, int]:
        return 10, 1


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return open_stores(tmp_path)


@pytest.fixture
def driver() -> Slow:
    return Slow()


@pytest.fixture
def snapshotter(stores: Stores, driver: Slow) -> Snapshotter:
    return Snapshotter(stores.snapshots, driver)


def base(stores: Stores) -> None:
    with stores.db.write():
        stores.snapshots.insert(NS, "base", None, 3, {}, "")


def test_snapshot_being_made_keeps_its_key_and_parent(stores: Stores, driver: Slow, snapshotter: Snapshotter) -> None:
    async def work() -> None:
        base(stores)
        making = asyncio.create_task(snapshotter.prepare(NS, "a", "base", {}, ""))
        await asyncio.to_thread(driver.begun.wait, 10)
        assert [info.name for info in snapshotter.select(NS, [])] == ["base"]
        with pytest.raises(errdefs.NotFound):
            snapshotter.mounts(NS, "a")
        with pytest.raises(errdefs.AlreadyExists):
            await snapshotter.prepare(NS, "a", "base", {}, "")
        with pytest.raises(errdefs.FailedPrecondition):
            snapshotter.remove(NS, "base")
        driver.go.set()
        await making
        assert snapshotter.stat(NS, "a").parent == "base"

    asyncio.run(work())


def test_cancelled_preparation_leaves_nothing(stores: Stores, driver: Slow, snapshotter: Snapshotter) -> None:
    async def work() -> None:
        making = asyncio.create_task(snapshotter.prepare(NS, "a", "", {}, ""))
        await asyncio.to_thread(driver.begun.wait, 10)
        making.cancel()
        driver.go.set()
        with pytest.raises(asyncio.CancelledError):
            await making

    asyncio.run(work())
    assert (stores.snapshots.ids(), driver.discarded) == (set(), [1])


def test_half_made_snapshot_is_forgotten_at_the_next_start(
    stores: Stores, driver: Slow, snapshotter: Snapshotter
) -> None:
    base(stores)
    with stores.db.write():
        stores.snapshots.insert(NS, "a", 1, 0, {}, "")
    snapshotter.open()
    assert driver.known == {1}
    assert stores.snapshots.find(NS, "a") is None


def test_usage_of_a_committed_snapshot_is_counted_once(
    stores: Stores, driver: Slow, snapshotter: Snapshotter, monkeypatch: pytest.MonkeyPatch
) -> None:
    base(stores)
    assert asyncio.run(snapshotter.usage(NS, "base")) == (10, 1)
    monkeypatch.setattr(driver, "usage", None)
    assert asyncio.run(snapshotter.usage(NS, "base")) == (10, 1)


def test_snapshotter_is_chosen_by_name(snapshotter: Snapshotter) -> None:
    found = {"overlayfs": snapshotter}
    assert choose(found, "") is choose(found, "overlayfs") is snapshotter
    with pytest.raises(errdefs.InvalidArgument, match="not loaded: zfs"):
        choose(found, "zfs")
