import asyncio
import time
from pathlib import Path

import pytest

from services.dockerd.container.state import Status
from services.dockerd.engine import exits, retry, save, wait
from services.dockerd.engine.tasks import Exit
from tests.unit.dockerd.engine.made import bench
from tests.unit.dockerd.waiting import until

ALWAYS = {"Name": "always", "MaximumRetryCount": 0}


def end(identity: str, code: int = 3, pid: int = 7) -> Exit:
    return Exit(identity, "", pid, code, time.time_ns())


def test_exit_is_told_once_however_often_it_is_heard(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container()
            it.fake.end(box.id, 3, tell=False)
            for _ in range(3):
                exits.record(it.engine, box, end(box.id))
            await it.settled(box)
            assert it.actions("die") == [("die", "box")]
            assert (box.state.status, box.state.exit_code) == (Status.EXITED, 3)
            assert ("delete", box.id) in it.fake.asked and not it.fake.tasks

    asyncio.run(main())


def test_exit_told_by_the_last_daemon_is_not_told_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container()
            key = exits.key(box, 7)
            it.engine.events.publish("container", "die", box.id, {}, key=key)
            exits.record(it.engine, box, end(box.id))
            assert it.actions("die") == [("die", "")] and box.state.status is Status.EXITED

    asyncio.run(main())


def test_exit_of_an_earlier_run_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container()
            exits.record(it.engine, box, end(box.id, pid=6))
            assert box.state.running and not it.actions()

    asyncio.run(main())


def test_keys_differ_by_run(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container()
            first = exits.key(box, 7)
            box.state = box.state.exited(0, 2).started(7, 3)  # the same pid, once again
            assert exits.key(box, 7) != first != exits.key(box, 8)

    asyncio.run(main())


def test_exit_before_the_starts_answer_is_kept_until_then(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container()
            box.starting = True
            exits.record(it.engine, box, early := end(box.id))
            assert box.early == early and box.state.running and not it.actions()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("policy", "code", "by_hand", "status"),
    [
        (ALWAYS, 0, False, Status.RESTARTING),
        (ALWAYS, 0, True, Status.EXITED),
        ({"Name": "on-failure", "MaximumRetryCount": 1}, 4, False, Status.RESTARTING),
        ({"Name": "on-failure", "MaximumRetryCount": 1}, 0, False, Status.EXITED),
        ({"Name": "no", "MaximumRetryCount": 0}, 4, False, Status.EXITED),
    ],
)
def test_policy_decides_what_follows(
    tmp_path: Path, policy: dict[str, object], code: int, by_hand: bool, status: Status
) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container(RestartPolicy=policy)
            box.manually_stopped = by_hand
            exits.record(it.engine, box, end(box.id, code))
            assert box.state.status is status
            assert box.restart_count == (status is Status.RESTARTING)

    asyncio.run(main())


def test_no_policy_applies_while_the_daemon_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container(RestartPolicy=ALWAYS)
            it.engine.closing = True
            exits.record(it.engine, box, end(box.id))
            assert box.state.status is Status.EXITED and box.restart_count == 0

    asyncio.run(main())


def test_restart_that_waits_can_be_given_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container(RestartPolicy=ALWAYS)
            it.fake.end(box.id, 3, tell=False)
            exits.record(it.engine, box, end(box.id))
            rest = wait.until(box, "not-running")
            await until(lambda: box.retry is not None)
            assert retry.cancel(it.engine, box) and not retry.cancel(it.engine, box)
            assert (await rest).code == 3 and box.state.status is Status.EXITED

    asyncio.run(main())


def test_full_disk_does_not_hide_an_exit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container()
            temporary = box.directory / ".config.v2.json.tmp"
            temporary.mkdir()  # as good as a disk that takes nothing
            for _ in range(3):
                exits.record(it.engine, box, end(box.id))
            assert box.state.status is Status.EXITED and it.engine.unsaved == {box.id}
            temporary.rmdir()
            await until(lambda: not it.engine.unsaved)
            (loaded,) = it.engine.store.load()
            assert loaded.state.exit_code == 3

    monkeypatch.setattr(save, "_AGAIN", 0.01)
    asyncio.run(main())
