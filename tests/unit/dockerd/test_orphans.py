import asyncio
import os

import pytest

from services.dockerd import orphans
from services.dockerd.orphans import Orphans


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "PATIENCE", 0.02)


def spawn(*words: str) -> int:
    return os.posix_spawnp(words[0], words, os.environ)


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_child_nobody_waits_for_is_reaped() -> None:
    async def main() -> None:
        with Orphans():
            pids = [spawn("true"), spawn("false")]
            async with asyncio.timeout(20):
                while not all(map(ended, pids)):  # noqa: ASYNC110 - the kernel tells nobody
                    await asyncio.sleep(0.01)

    asyncio.run(main())


def test_exit_of_an_awaited_child_is_its_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "PATIENCE", 2.0)

    async def main() -> None:
        with Orphans():
            process = await asyncio.create_subprocess_exec("sh", "-c", "exit 7")
            assert await process.wait() == 7

    asyncio.run(main())


def test_no_child_is_no_zombie() -> None:
    assert orphans.first_zombie() == 0
