import asyncio
from pathlib import Path

import pytest

from services.dockerd.container.state import Status
from services.dockerd.engine import restore, start
from tests.unit.dockerd.engine.made import bench

POLICIES = [
    ("no", True, False, False), ("always", True, False, True), ("always", False, True, True),
    ("unless-stopped", True, False, True), ("unless-stopped", False, True, False),
    ("on-failure", True, False, True), ("on-failure", False, False, True), ("on-failure", True, True, True),
]


@pytest.mark.parametrize("boot", ["another", "this"])
def test_reboot_ends_what_ran(tmp_path: Path, boot: str) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container()
            box.boot_id = start.boot_id() if boot == "this" else boot
            it.engine.store.save(box)
            it.engine.containers.remove(box)
            restore.load(it.engine)
            loaded = it.engine.containers.get(box.id)
            if boot == "this":
                assert loaded.state.running and not it.actions()
            else:
                assert (loaded.state.status, loaded.state.exit_code) == (Status.EXITED, 255)
                assert it.actions("die") == [("die", "box")]

    asyncio.run(main())


@pytest.mark.parametrize(("policy", "ran", "by_hand", "again"), POLICIES)
def test_policies_after_a_reboot(tmp_path: Path, policy: str, ran: bool, by_hand: bool, again: bool) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container(RestartPolicy={"Name": policy, "MaximumRetryCount": 0})
            box.manually_stopped = by_hand
            box.state = box.state.exited(255 if ran else 1, 2)
            assert restore._again(box) is again

    asyncio.run(main())


def test_what_never_ran_is_not_started(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container(running=False, RestartPolicy={"Name": "always", "MaximumRetryCount": 0})
            assert not restore._again(box)

    asyncio.run(main())
