import asyncio
from pathlib import Path

import pytest

from protos.errdefs import InvalidArgument, NotFound
from services.dockerd.engine import exits, wait
from services.dockerd.engine.tasks import Exit
from tests.unit.dockerd.engine.made import bench


def test_condition_that_holds_is_answered_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container(running=False)
            for condition in ("", "not-running"):
                assert wait.wait(it.engine, "box", condition).result().code == 0
            for condition in ("next-exit", "removed"):
                assert not wait.wait(it.engine, "box", condition).done()
            assert set(box.waiters) == {"next-exit", "removed"}

    asyncio.run(main())


def test_each_condition_has_its_moment(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container()
            it.fake.end(box.id, 5, tell=False)
            waiting = {each: wait.until(box, each) for each in wait.CONDITIONS}
            exits.record(it.engine, box, Exit(box.id, "", 7, 5, 1))
            assert not waiting["not-running"].done(), "what it had is not released yet"
            await it.settled(box)
            assert [waiting[each].result().code for each in ("not-running", "next-exit")] == [5, 5]
            assert not waiting["removed"].done()
            wait.wake(box, "removed")
            assert waiting["removed"].result().code == 5

    asyncio.run(main())


def test_client_that_leaves_is_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            box = it.container()
            ended = wait.until(box, "next-exit")
            reply = wait.reply(ended)
            asking = asyncio.ensure_future(anext(reply))
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await asyncio.sleep(0)
            assert ended.cancelled() and box.waiters["next-exit"] == []

    asyncio.run(main())


def test_unknown_ones_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            with pytest.raises(InvalidArgument, match='invalid condition: "soon"'):
                wait.wait(it.engine, "box", "soon")
            with pytest.raises(NotFound, match="No such container: nobody"):
                wait.wait(it.engine, "nobody")

    asyncio.run(main())
