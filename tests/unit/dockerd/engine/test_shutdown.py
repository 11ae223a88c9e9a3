import asyncio
from pathlib import Path

import pytest

from protos.containerd.types.task import task_pb2
from services.dockerd.container.state import Status
from services.dockerd.engine import monitor, shutdown
from tests.unit.dockerd.engine.made import Bench, bench
from tests.unit.dockerd.waiting import until


async def following(it: Bench) -> None:
    monitor.start(it.engine)
    await until(lambda: ("list", "") in it.fake.asked)


def test_all_are_asked_before_one_is_killed(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path, shutdown_timeout=1) as it:
            boxes = [it.container(name) for name in ("a", "b", "c")]
            idle = it.container("idle", running=False)
            it.fake.deaf.update(box.id for box in boxes[:2])
            await following(it)
            await shutdown.shutdown(it.engine, asyncio.Event())
            kills = [what for what, _ in it.fake.asked if what.startswith("kill")]
            assert kills == ["kill 15"] * 3 + ["kill 9"] * 2
            assert [box.state.exit_code for box in boxes] == [137, 137, 143]
            assert not any(box.manually_stopped for box in boxes) and idle.state.status is Status.CREATED

    asyncio.run(main())


def test_force_cuts_patience_short(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path, shutdown_timeout=-1) as it:
            box = it.container()
            box.config.StopTimeout = -1
            it.fake.deaf.add(box.id)
            await following(it)
            forced = asyncio.Event()
            ending = asyncio.ensure_future(shutdown.shutdown(it.engine, forced))
            await until(lambda: ("kill 15", box.id) in it.fake.asked)
            assert not ending.done()
            forced.set()
            await ending
            assert box.state.exit_code == 137

    asyncio.run(main())


def test_paused_one_is_thawed(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container()
            box.state = box.state.after("pause")
            it.fake.tasks[box.id].status = task_pb2.PAUSED
            await following(it)
            await shutdown.shutdown(it.engine, asyncio.Event())
            assert ("resume", box.id) in it.fake.asked

    asyncio.run(main())


def test_live_restore_leaves_them_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path, live_restore=True) as it:
            box = it.container()
            await following(it)
            await shutdown.shutdown(it.engine, asyncio.Event())
            assert box.state.running and not [what for what, _ in it.fake.asked if what.startswith("kill")]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("own", "limit", "seconds"),
    [(None, 15, 10), (None, 3, 3), (None, 0, 0), (None, -1, 10), (1, 15, 1), (60, 15, 60), (-1, 15, -1)],
)
def test_patience(own: int | None, limit: int, seconds: int) -> None:
    assert shutdown.patience(own, limit) == seconds


def test_longest_of_them_bounds_the_stop(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path, shutdown_timeout=5) as it:
            assert shutdown.longest(it.engine) == 5
            box = it.container()
            for own, wanted in ((None, 5), (1, 5), (70, 70), (-1, None)):
                box.config.StopTimeout = own
                assert shutdown.longest(it.engine) == wanted

    asyncio.run(main())
