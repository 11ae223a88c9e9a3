import asyncio
import threading

import pytest

from services.containerd import threads


def test_answer_and_error_come_through() -> None:
    assert asyncio.run(threads.run(pow, 2, 5)) == 32
    with pytest.raises(ZeroDivisionError):
        asyncio.run(threads.run(divmod, 1, 0))


def test_cancelled_caller_waits_for_the_thread() -> None:
    go, ended = threading.Event(), threading.Event()

    def work() -> None:
        go.wait(10)
        ended.set()

    async def main() -> None:
        task = asyncio.create_task(threads.run(work))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(main())


def test_cancellation_stops_long_work() -> None:
    stopped = threading.Event()

    async def main() -> None:
        task = asyncio.create_task(threads.run_stoppable(stopped.set, stopped.wait, 10))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert stopped.is_set()
