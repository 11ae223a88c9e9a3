import os
import signal

from services.shim.process import record
from tests.unit.shim.conftest import Run
from tests.unit.shim.shims import Shim


def test_exit_is_on_disk_before_it_is_told(shim: Shim, run: Run) -> None:
    async def story() -> None:
        fifo = shim.fifo("out")
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        await shim.create("sh", "-c", "sleep 60 & exit 3", stdout=fifo)
        await shim.container.start("")
        waiting = shim.loop.spawn(shim.container.wait(""))
        while record.read(shim.bundle.path) is None:
            await shim.loop.sleep(0.005)
        assert not waiting.done  # the grandchild holds the pipe
        assert "exit" not in shim.topics()
        ended = await waiting
        assert record.read(shim.bundle.path) == ended
        os.close(reader)

    run(story())


def test_exits_of_execs_are_told_before_inits(shim: Shim, run: Run) -> None:
    async def story() -> None:
        await shim.create("sleep", "60")
        await shim.container.start("")
        for name in ("e1", "e2"):
            await shim.exec(name, "sleep", "60")
            await shim.container.start(name)
        for name in ("", "e1", "e2"):
            await shim.control.kill(name, signal.SIGKILL, False)
        await shim.container.wait("")
        ids = [event.id for topic, event in shim.events if topic == "/tasks/exit"]  # type: ignore[attr-defined]
        assert (sorted(ids[:2]), ids[2]) == (["e1", "e2"], "c1")

    run(story())


# streams
