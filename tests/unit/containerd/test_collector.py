"""The collector on real stores: what it removes, tells, and leaves."""

import asyncio
import os
from pathlib import Path

from protos.containerd.services.leases.v1.leases_pb2 import Resource
from services.containerd.collector import Collector
from services.containerd.content.store import ContentStore
from services.containerd.events.exchange import Exchange
from services.containerd.snapshots.native import Native
from services.containerd.snapshots.snapshotter import Snapshotter
from tests.unit.containerd.metadata.stores import NS, Stores, image, open_stores


class House:
    def __init__(self, path: Path) -> None:
        self.stores: Stores = open_stores(path)
        self.stores.snapshots.driver = "native"
        self.content = ContentStore(path / "content", self.stores.content)
        self.content.open()
        self.snapshots = Snapshotter(self.stores.snapshots, Native(path / "native"))
        self.snapshots.open()
        self.exchange = Exchange()
        self.collector = Collector(self.stores.db, self.content, {"native": self.snapshots}, self.exchange)
        self.root = path

    async def blob(self, **labels: str) -> str:
        ingest = await self.content.writer(NS, os.urandom(4).hex(), 0, "", "")
        await ingest.write(os.urandom(100))
        return await ingest.commit(0, "", labels)

    def directories(self) -> list[str]:
        return sorted(path.name for path in (self.root / "native").iterdir() if path.name != "trash")


def test_garbage_goes_and_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path)
        kept, loose = await house.blob(), await house.blob()
        picture = image("i", 1)
        picture.target.digest = kept
        house.stores.images.create(NS, picture)
        await house.snapshots.prepare(NS, "work", "", {}, "")
        await house.snapshots.commit(NS, "work", "base", {}, "")
        await house.snapshots.prepare(NS, "rw", "base", {}, "")
        with house.exchange.subscribe([]) as told:
            await house.collector.collect()
            topics = [(await told.next()).topic for _ in range(3)]
        assert topics == ["/content/delete", "/snapshot/remove", "/snapshot/remove"]
        assert house.content.has(NS, kept)
        assert not house.content.has(NS, loose)
        assert not house.content.path(loose).exists()
        assert (house.directories(), house.snapshots.select(NS, [])) == ([], [])

    asyncio.run(work())


def test_nothing_to_do_changes_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path)
        house.stores.leases.create(NS, "l", {})
        name = await house.blob()
        house.stores.leases.add(NS, "l", Resource(type="content", id=name))
        await house.snapshots.prepare(NS, "a", "", {"containerd.io/gc.root": "now"}, "")
        await house.collector.collect()
        assert house.content.has(NS, name)
        assert house.directories() == ["1"]

    asyncio.run(work())


def test_blob_committed_again_right_after_stays(tmp_path: Path) -> None:
    """Its old file is deleted in a thread; the new one has the same name."""

    async def work() -> None:
        house = House(tmp_path)
        for _ in range(20):
            ingest = await house.content.writer(NS, "r", 0, "", "")
            await ingest.write(b"same")
            name = await ingest.commit(0, "", {})
            assert house.content.path(name).read_bytes() == b"same"
            await house.collector.collect()
        assert not house.content.path(name).exists()

    asyncio.run(work())


def test_expired_lease_ends(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path)
        house.stores.leases.create(NS, "l", {"containerd.io/gc.expire": "2001-01-01T00:00:00Z"})
        house.stores.leases.create(NS, "m", {"containerd.io/gc.expire": "9001-01-01T00:00:00Z"})
        await house.collector.collect()
        assert [lease.id for lease in house.stores.leases.select(NS, [])] == ["m"]

    asyncio.run(work())
