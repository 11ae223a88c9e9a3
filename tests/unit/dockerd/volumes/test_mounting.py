"""Counting uses: on first and last for the local driver, by ids for a plugin over the real wire."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos import errdefs
from services.dockerd.plugins.discovery import Directories
from services.dockerd.plugins.registry import Plugins
from services.dockerd.volumes import mounting
from services.dockerd.volumes.store import Volumes
from tests.fakes.shelf import Shelf
from tests.unit.dockerd.waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    (tmp_path / "sockets").mkdir()
    with Shelf(tmp_path / "sockets/shelf.sock", tmp_path / "shelf") as made:
        yield made
        assert not made.breaches


def another(tmp_path: Path) -> Volumes:
    made = Volumes(tmp_path / "volumes", tmp_path / "run", Plugins(Directories((tmp_path / "sockets",), ())))
    made.load()
    return made


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = another(tmp_path)
    yield made
    made.close()


async def ram(volumes: Volumes, **options: str) -> Path:
    volume, _ = await volumes.create("data", options={"type": "tmpfs", "device": "tmpfs", **options})
    return volume.path


def test_device_is_mounted_while_used(volumes: Volumes) -> None:
    async def use() -> None:
        path = await ram(volumes, o="size=1m,mode=700")
        volume, count = volumes.get("data"), volumes.mounting
        assert await count.attach(volume, "m1") == await count.attach(volume, "m2") == str(path)
        assert path.is_mount()
        assert await count.detach(volume, "m1") and not await count.detach(volume, "m1")
        assert path.is_mount()
        await count.detach(volume, "m2")
        assert not path.is_mount()

    asyncio.run(use())


def test_failing_mount_says_why(volumes: Volumes, tmp_path: Path) -> None:
    async def use() -> None:
        options = {"type": "none", "device": f"{tmp_path}/nosuch", "o": "bind,password=x"}
        volume, _ = await volumes.create("data", options=options)
        with pytest.raises(errdefs.Internal) as caught:
            await volumes.mounting.attach(volume, "m1")
        assert str(caught.value) == (
            f"failed to mount local volume: mount {tmp_path}/nosuch:{volume.path}, flags: 0x1000, "
            "data: password=********: no such file or directory"
        )
        assert not volume.active

    asyncio.run(use())


def test_unknown_server_is_named(volumes: Volumes) -> None:
    async def use() -> None:
        volume, _ = await volumes.create(
            "data", options={"type": "nfs", "device": ":/x", "o": "addr=nosuch.invalid,rw"}
        )
        with pytest.raises(errdefs.Internal, match="error resolving passed in network volume address: lookup nosuch"):
            await volumes.mounting.attach(volume, "m1")

    asyncio.run(use())


def test_mount_without_users_is_taken_away_at_start(volumes: Volumes, tmp_path: Path) -> None:
    async def use() -> None:
        path = await ram(volumes)
        await volumes.mounting.attach(volumes.get("data"), "m1")
        later = another(tmp_path)
        later.mounting.adopt(later.get("data"), "m1")
        await later.mounting.settle(list(later))
        assert path.is_mount()
        await later.mounting.detach(later.get("data"), "m1")
        assert not path.is_mount()
        await volumes.mounting.attach(volumes.get("data"), "m1")
        last = another(tmp_path)
        await last.mounting.settle(list(last))
        assert not path.is_mount()

    asyncio.run(use())


def test_plugin_counts_by_ids(volumes: Volumes, shelf: Shelf) -> None:
    async def use() -> None:
        volume, _ = await volumes.create("data", "shelf")
        count = volumes.mounting
        assert await count.attach(volume, "m1") == await count.attach(volume, "m1") == str(shelf.root / "data.mnt")
        await count.attach(volume, "m2")
        assert shelf.mounts["data"] == {"m1", "m2"}
        await count.detach(volume, "m1")
        await count.detach(volume, "m1")
        assert shelf.mounts["data"] == {"m2"}
        await count.detach(volume, "m2")

    asyncio.run(use())
    assert shelf.mounted() == 0


def test_killed_daemons_mounts_are_given_back(volumes: Volumes, shelf: Shelf, tmp_path: Path) -> None:
    async def use() -> None:
        volume, _ = await volumes.create("data", "shelf")
        for each in ("m1", "m2"):
            await volumes.mounting.attach(volume, each)
        later = another(tmp_path)
        later.mounting.adopt(later.get("data"), "m1")
        await later.mounting.settle(list(later))
        await until(lambda: shelf.mounts["data"] == {"m1"})
        await later.mounting.detach(later.get("data"), "m1")

    asyncio.run(use())
    assert shelf.mounted() == 0


def test_hanging_unmount_keeps_nobody(
    volumes: Volumes, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounting, "LEAVE", 0.01)

    async def use() -> None:
        volume, _ = await volumes.create("data", "shelf")
        await volumes.mounting.attach(volume, "m1")
        shelf.hanging.add("Unmount")
        await volumes.mounting.detach(volume, "m1")
        assert shelf.mounted() == 1
        shelf.hanging.clear()
        shelf.released.set()
        await volumes.mounting.settled(volume)

    asyncio.run(use())
    assert shelf.mounted() == 0


def test_refused_mount_is_not_given_back(volumes: Volumes, shelf: Shelf) -> None:
    async def use() -> None:
        volume, _ = await volumes.create("data", "shelf")
        shelf.failing["Mount"] = "out of order"
        with pytest.raises(errdefs.Unknown, match=r"^out of order$"):
            await volumes.mounting.attach(volume, "m1")
        await volumes.mounting.settle(list(volumes))
        assert "Unmount" not in shelf.verbs()

    asyncio.run(use())


def test_plugin_that_comes_back_is_told_to_unmount(
    volumes: Volumes, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounting, "PAUSE", 0.01)

    async def use() -> None:
        volume, _ = await volumes.create("data", "shelf")
        await volumes.mounting.attach(volume, "m1")
        shelf.die()
        await volumes.mounting.detach(volume, "m1")
        shelf.revive()
        await until(lambda: not shelf.mounted())
        shelf.die()
        await volumes.mounting.stop()

    asyncio.run(use())


def test_use_that_was_not_given_back_is_before_the_next(volumes: Volumes, shelf: Shelf) -> None:
    async def use() -> None:
        volume, _ = await volumes.create("data", "shelf")
        await volumes.mounting.attach(volume, "m1")
        shelf.die()
        await volumes.mounting.detach(volume, "m1")
        shelf.revive()
        await volumes.mounting.attach(volume, "m1")
        assert shelf.verbs()[-2:] == ["Unmount", "Mount"]
        await volumes.mounting.detach(volume, "m1")
        await volumes.mounting.stop()

    asyncio.run(use())
    assert shelf.mounted() == 0


def test_dead_plugin_is_unmounted_by_the_next_daemon(
    volumes: Volumes, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounting, "LEAVE", 0.01)

    async def use() -> None:
        volume, _ = await volumes.create("data", "shelf")
        await volumes.mounting.attach(volume, "m1")
        shelf.die()
        await volumes.mounting.detach(volume, "m1")
        await volumes.mounting.stop()
        shelf.revive()
        later = another(tmp_path)
        await later.mounting.settle(list(later))
        await until(lambda: not shelf.mounted())

    asyncio.run(use())


def test_what_is_being_given_back_is_not_given_back_again(volumes: Volumes, shelf: Shelf, tmp_path: Path) -> None:
    async def use() -> None:
        volume, _ = await volumes.create("data", "shelf")
        await volumes.mounting.attach(volume, "m1")
        later = another(tmp_path)
        later.mounting.adopt(later.get("data"), "m1")
        ended = asyncio.ensure_future(later.mounting.detach(later.get("data"), "m1"))
        await asyncio.sleep(0)
        await later.mounting.settle(list(later))
        await ended
        await later.mounting.settled(later.get("data"))
        assert shelf.verbs().count("Unmount") == 1

    asyncio.run(use())


def test_end_of_the_daemon_waits_for_no_mount(volumes: Volumes, shelf: Shelf, tmp_path: Path) -> None:
    async def use() -> None:
        volume, _ = await volumes.create("data", "shelf")
        shelf.hanging.add("Mount")
        waiting = asyncio.ensure_future(volumes.mounting.attach(volume, "m1"))
        await until(lambda: "Mount" in shelf.verbs())
        volumes.mounting.refuse()
        with pytest.raises(errdefs.Unavailable, match="dockerd is shutting down"):
            await waiting
        await volumes.mounting.stop()
        shelf.hanging.clear()
        shelf.released.set()
        await until(shelf.mounted)
        later = another(tmp_path)
        await later.mounting.settle(list(later))
        await until(lambda: not shelf.mounted())

    asyncio.run(use())


def test_mount_that_nobody_waits_for_is_given_back(volumes: Volumes, shelf: Shelf) -> None:
    async def use() -> None:
        volume, _ = await volumes.create("data", "shelf")
        shelf.hanging.add("Mount")
        waiting = asyncio.ensure_future(volumes.mounting.attach(volume, "m1"))
        await until(lambda: "Mount" in shelf.verbs())
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        shelf.hanging.clear()
        shelf.released.set()
        await until(lambda: "Unmount" in shelf.verbs())
        await volumes.mounting.settled(volume)

    asyncio.run(use())
    assert not shelf.mounted()
