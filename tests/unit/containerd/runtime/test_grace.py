import asyncio
from pathlib import Path

import pytest

from services.containerd.runtime import cgroup, grace
from tests.harness.wait import until


@pytest.fixture
def procs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What is written to move into the version 1 group that we are in."""
    monkeypatch.setattr(cgroup, "of_process", lambda pid: {"memory": "/a", "freezer": "/system/us", "": "/"})
    path = tmp_path / "freezer/system/us/cgroup.procs"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_we_stay_where_we_are(procs: Path, tmp_path: Path) -> None:
    assert grace.stay(tmp_path)
    assert procs.read_text() == "0"  # whoever writes it


def test_unified_hierarchy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cgroup, "of_process", lambda pid: {"": "/us"})
    (tmp_path / "us").mkdir()
    (tmp_path / "us/cgroup.procs").touch()
    assert grace.stay(tmp_path)


def test_no_groups(tmp_path: Path) -> None:
    assert not grace.stay(tmp_path)


def test_it_helps_while_somebody_starts(procs: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        lock = grace.Grace(tmp_path)
        with lock.ahead(), lock.ahead():
            await asyncio.to_thread(until, lambda: procs.read_text() == "0", "a first move")
            procs.write_text("")
            await asyncio.to_thread(until, lambda: procs.read_text() == "0", "a further move")
        await asyncio.to_thread(until, lambda: not lock._running, "it rests")
        with lock.ahead():
            procs.write_text("")
            await asyncio.to_thread(until, lambda: procs.read_text() == "0", "a move for the next one")

    asyncio.run(scenario())
