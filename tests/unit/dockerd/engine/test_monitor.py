import asyncio
from pathlib import Path

from services.dockerd.container.state import Status
from services.dockerd.engine import monitor
from tests.unit.dockerd.engine.made import bench
from tests.unit.dockerd.waiting import until


def test_exit_heard_of_is_recorded(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container()
            monitor.start(it.engine)
            await until(lambda: it.fake.subscribers)
            it.fake.end(box.id, 9)
            await until(lambda: box.state.status is Status.EXITED)
            assert box.state.exit_code == 9 and it.actions("die") == [("die", "box")]

    asyncio.run(main())


def test_exit_missed_while_away_is_found_after_a_reconnect(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box, gone = it.container(), it.container("gone")
            monitor.start(it.engine)
            await until(lambda: ("list", "") in it.fake.asked)
            await it.fake.stop()
            it.fake.end(box.id, 21, tell=False)
            del it.fake.tasks[gone.id]
            await it.fake.start()
            await until(lambda: not box.state.running and not gone.state.running)
            assert (box.state.exit_code, gone.state.exit_code) == (21, monitor.LOST)
            assert sorted(it.actions("die")) == [("die", "box"), ("die", "gone")]

    asyncio.run(main())


def test_running_task_is_adopted_at_the_start_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container(running=False)
            it.fake.run(box.id, 12)
            await monitor.compare(it.engine, adopt=True)
            assert (box.state.status, box.state.pid) == (Status.RUNNING, 12)
            stray = it.container("stray", running=False)
            it.fake.run(stray.id, 13)
            await monitor.compare(it.engine)
            assert stray.id not in it.fake.tasks and box.id in it.fake.tasks

    asyncio.run(main())


def test_task_of_an_unreadable_container_is_left_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            (it.engine.store.root / ("e" * 64)).mkdir(parents=True)
            for each in ("e", "f"):
                it.fake.run(each * 64)
            await monitor.compare(it.engine)
            assert set(it.fake.tasks) == {"e" * 64}

    asyncio.run(main())
