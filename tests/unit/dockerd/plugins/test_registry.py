"""Plugins found, activated and kept."""

import asyncio
from pathlib import Path

import pytest

from protos.errdefs import NotFound, Unavailable, Unknown
from services.dockerd.plugins.discovery import Directories
from services.dockerd.plugins.registry import Plugins
from tests.fakes import plugin as fake


def plugins(tmp_path: Path) -> Plugins:
    return Plugins(Directories((tmp_path,), ()))


def test_one_activation_serves_all_who_wait(tmp_path: Path) -> None:
    async def many() -> None:
        known = plugins(tmp_path)
        found = await asyncio.gather(*(known.get("p", "VolumeDriver") for _ in range(5)))
        assert len(set(map(id, found))) == 1
        assert known.active("VolumeDriver") == ["p"]
        assert known.active("authz") == []

    with fake.Plugin(tmp_path / "p.sock", implements=("VolumeDriver",)) as server:
        asyncio.run(many())
    assert server.calls == [("Plugin.Activate", {})]


def test_who_stops_waiting_takes_it_from_nobody(tmp_path: Path) -> None:
    async def one_leaves() -> None:
        known = plugins(tmp_path)
        leaver = asyncio.ensure_future(known.get("p", "authz"))
        stayer = asyncio.ensure_future(known.get("p", "authz"))
        await asyncio.sleep(0)
        leaver.cancel()
        assert (await stayer).name == "p"
        assert leaver.cancelled()

    with fake.Plugin(tmp_path / "p.sock", implements=("authz",)):
        asyncio.run(one_leaves())


def test_what_it_does_not_implement_is_refused(tmp_path: Path) -> None:
    with fake.Plugin(tmp_path / "p.sock", implements=("authz",)), pytest.raises(
        Unknown, match='does not implement the requested driver: plugin="p", requested implementation="VolumeDriver"'
    ):
        asyncio.run(plugins(tmp_path).get("p", "VolumeDriver"))


def test_a_name_without_a_file_is_not_found_at_once(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r'^plugin "p" not found$'):
        asyncio.run(plugins(tmp_path).get("p", "VolumeDriver"))


def test_a_file_may_be_waited_for(tmp_path: Path) -> None:
    async def late() -> None:
        asked = asyncio.ensure_future(plugins(tmp_path).get("p", "VolumeDriver", await_file=True))
        await asyncio.sleep(0)
        with fake.Plugin(tmp_path / "p.sock", implements=("VolumeDriver",)):
            assert (await asked).name == "p"

    asyncio.run(late())


def test_a_failed_activation_is_tried_again(tmp_path: Path) -> None:
    async def twice() -> None:
        known = plugins(tmp_path)
        with fake.Plugin(tmp_path / "p.sock"):
            pass
        with pytest.raises(Unavailable, match=r"legacy plugin: .*: dial unix /\S+: connect: connection refused$"):
            await known.get("p", "VolumeDriver", patience=0)
        (tmp_path / "p.sock").unlink()
        with fake.Plugin(tmp_path / "p.sock", implements=("VolumeDriver",)):
            assert (await known.get("p", "VolumeDriver")).implements == {"VolumeDriver"}

    asyncio.run(twice())


def test_a_forgotten_one_is_activated_anew(tmp_path: Path) -> None:
    async def again() -> None:
        known = plugins(tmp_path)
        await known.get("p", "authz")
        known.forget("p")
        await known.get("p", "authz")
        assert known.names() == ["p"]

    with fake.Plugin(tmp_path / "p.sock", implements=("authz",)) as server:
        asyncio.run(again())
    assert len(server.calls) == 2


def test_a_name_can_be_checked_without_a_call(tmp_path: Path) -> None:
    with fake.Plugin(tmp_path / "p.sock") as server:
        plugins(tmp_path).check("p")
    assert server.calls == []
    with pytest.raises(NotFound):
        plugins(tmp_path).check("q")
