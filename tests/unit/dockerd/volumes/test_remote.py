"""Volumes of plugins over the real wire: found, made, listed and removed; nobody waits for one that hangs or dies."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos import errdefs
from services.dockerd.volumes import mounts, remote
from services.dockerd.volumes.store import Volumes
from tests.fakes.shelf import Shelf
from tests.unit.dockerd.volumes.test_mounting import another
from tests.unit.dockerd.waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    (tmp_path / "sockets").mkdir()
    with Shelf(tmp_path / "sockets/shelf.sock", tmp_path / "shelf") as made:
        yield made
        assert not made.breaches


@pytest.fixture
def volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Volumes]:
    monkeypatch.setattr(remote, "QUICK", 0.3)
    made = another(tmp_path)
    yield made
    made.close()


def test_volume_is_made_by_its_plugin(volumes: Volumes, shelf: Shelf, tmp_path: Path) -> None:
    events: list[tuple[str, str, dict[str, str]]] = []
    volumes.emit = lambda *event: events.append(event)

    async def use() -> None:
        volume, new = await volumes.create("data", "shelf", {"a": "b"}, {"l": "v"})
        assert new and shelf.volumes == {"data": {"a": "b"}}
        assert (await volumes.create("data"))[0] is volume
        assert (await volumes.find("data")).to_api() == {
            "CreatedAt": "2024-05-06T07:08:09Z", "Driver": "shelf", "Labels": {"l": "v"}, "Mountpoint": "",
            "Name": "data", "Options": {"a": "b"}, "Scope": "global", "Status": {"mounts": 0},
        }
        kept = another(tmp_path).get("data")
        assert (kept.driver, kept.labels, kept.options, kept.scope) == ("shelf", {"l": "v"}, {"a": "b"}, "global")
        assert await volumes.remove("data") and not shelf.volumes
        assert "data" not in another(tmp_path)

    asyncio.run(use())
    assert events == [("create", "data", {"driver": "shelf"}), ("destroy", "data", {"driver": "shelf"})]


def test_what_the_plugin_has_is_found(volumes: Volumes, shelf: Shelf) -> None:
    shelf.put("theirs")

    async def use() -> None:
        volume, new = await volumes.create("theirs")
        assert not new and volume.driver == "shelf"
        assert [each.name for each in (await volumes.listed())[0]] == ["theirs"]
        shelf.take("theirs")
        assert (await volumes.listed())[0] == []
        with pytest.raises(errdefs.NotFound, match=r"^get theirs: no such volume$"):
            await volumes.find("theirs")

    asyncio.run(use())


def test_missing_plugin_is_told(volumes: Volumes) -> None:
    text = '^create data: error looking up volume plugin ghost: plugin "ghost" not found$'
    with pytest.raises(errdefs.NotFound, match=text):
        asyncio.run(volumes.create("data", "ghost"))


def test_plugins_own_words_are_told(volumes: Volumes, shelf: Shelf) -> None:
    shelf.failing["Create"] = "no space"
    with pytest.raises(errdefs.Unknown, match=r"^create data: no space$"):
        asyncio.run(volumes.create("data", "shelf"))
    assert "data" not in volumes
    shelf.failing = {"Remove": "not now"}

    async def use() -> None:
        await volumes.create("data", "shelf")
        for force in (False, True):
            with pytest.raises(errdefs.Unknown, match=r"^remove data: not now$"):
                await volumes.remove("data", force=force)
        assert "data" not in volumes
        assert not await volumes.remove("gone", force=True)

    asyncio.run(use())


def test_hanging_plugin_is_known_from_memory(volumes: Volumes, shelf: Shelf) -> None:
    async def use() -> None:
        await volumes.create("data", "shelf")
        shelf.hanging |= {"Get", "List"}
        assert (await volumes.find("data")).driver == "shelf"
        found, warnings = await volumes.listed()
        assert [each.name for each in found] == ["data"] and warnings[0].startswith("list shelf: ")
        asked = len(shelf.server.calls)
        volume, new = await volumes.create("other")
        assert new and volume.local and len(shelf.server.calls) == asked
        shelf.released.set()

    asyncio.run(use())


def test_scope_must_be_one(volumes: Volumes, shelf: Shelf) -> None:
    shelf.scope = "galaxy"
    with pytest.raises(errdefs.Internal, match='Driver "shelf" provided an invalid capability scope: galaxy'):
        asyncio.run(volumes.create("data", "shelf"))


def test_plugin_without_capabilities_is_local(volumes: Volumes, shelf: Shelf) -> None:
    del shelf.server.answers["VolumeDriver.Capabilities"]
    assert asyncio.run(volumes.create("data", "shelf"))[0].scope == "local"


def test_references_outlive_an_unknown_volume(volumes: Volumes) -> None:
    volumes.refer("theirs", "c1", "ghost", "/mnt")
    volumes.refer("lost", "c1", "local")
    assert volumes.get("theirs").users == {"c1"} and "lost" not in volumes
    with pytest.raises(errdefs.Conflict, match=r"remove theirs: volume is in use - \[c1\]"):
        asyncio.run(volumes.remove("theirs"))


def test_nameless_volume_goes_with_its_container(volumes: Volumes, shelf: Shelf) -> None:
    from services.dockerd.schema.container import ContainerConfig, HostConfig

    async def use() -> None:
        config, host = ContainerConfig(Volumes={"/d": {}}), HostConfig(VolumeDriver="shelf")
        points = await mounts.resolve(volumes, "c1", config, host, lambda _: ())
        assert [(point.driver, point.mode) for point in points] == [("shelf", "")] and len(shelf.volumes) == 1
        await mounts.discard(volumes, mounts.release(volumes, "c1", points, anonymous=True))

    asyncio.run(use())
    assert not shelf.volumes


def test_hanging_capabilities_keep_no_list(volumes: Volumes, shelf: Shelf) -> None:
    shelf.put("theirs")
    shelf.hanging.add("Capabilities")

    async def use() -> None:
        await volumes.create("mine")
        assert [each.name for each in (await volumes.listed())[0]] == ["mine"]
        with pytest.raises(errdefs.NotFound, match=r"^get theirs: no such volume$"):
            await volumes.find("theirs")
        shelf.released.set()

    asyncio.run(use())
    shelf.take("theirs")


def test_volume_made_during_a_list_stays(volumes: Volumes, shelf: Shelf) -> None:
    async def use() -> None:
        await volumes.create("first", "shelf")
        shelf.hanging.add("List")
        listing = asyncio.ensure_future(volumes.listed())
        await until(lambda: "List" in shelf.verbs())
        await volumes.create("second", "shelf", labels={"l": "v"})
        shelf.take("second")
        shelf.released.set()
        await listing
        assert volumes.get("second").labels == {"l": "v"}

    asyncio.run(use())
