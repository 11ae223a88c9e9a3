import json
import os
import signal

import pytest

from protos.containerd.types.task import task_pb2
from protos.errdefs import FailedPrecondition, NotFound, Unknown
from tests.unit.shim.conftest import Run
from tests.unit.shim.shims import Shim


def test_kill_is_exact_about_who_is_there(shim: Shim, run: Run) -> None:
    async def story() -> None:
        await shim.create("sleep", "60")
        await shim.container.start("")
        with pytest.raises(NotFound):
            await shim.control.kill("nobody", signal.SIGTERM, False)
        await shim.control.kill("", signal.SIGTERM, False)
        assert (await shim.container.wait("")).status == 128 + signal.SIGTERM
        with pytest.raises(NotFound, match="already finished"):
            await shim.control.kill("", signal.SIGTERM, False)
        assert shim.bundle.verbs()[:3] == ["create", "start", "kill"]  # a runtime we do not know is asked

    run(story())


def test_pause_and_resume(shim: Shim, run: Run) -> None:
    async def story() -> None:
        await shim.create("sleep", "60")
        await shim.container.start("")
        await shim.control.pause()
        assert shim.container.state("").status == task_pb2.PAUSED
        with pytest.raises(FailedPrecondition, match="cannot pause a paused"):
            await shim.control.pause()
        await shim.control.resume()
        assert shim.container.state("").status == task_pb2.RUNNING
        shim.bundle.fail("pause", "no freezer")
        with pytest.raises(Unknown, match="no freezer"):
            await shim.control.pause()
        assert shim.container.state("").status == task_pb2.RUNNING
        assert shim.topics() == ["create", "start", "paused", "resumed"]

    run(story())


def test_update_passes_the_document(shim: Shim, run: Run) -> None:
    async def story() -> None:
        await shim.create("sleep", "60")
        await shim.control.update({"memory": {"limit": 7}})
        assert json.loads((shim.bundle.root / "c1" / "resources").read_text()) == {"memory": {"limit": 7}}

    run(story())


def test_terminal_has_a_size(shim: Shim, run: Run) -> None:
    async def story() -> None:
        out = os.open(fifo := shim.fifo("out"), os.O_RDONLY | os.O_NONBLOCK)
        await shim.create("stty", "size", stdout=fifo, terminal=True)
        await shim.control.resize("", 101, 42)
        await shim.container.start("")
        await shim.container.wait("")
        assert os.read(out, 100) == b"42 101\r\n"
        await shim.control.resize("", 1, 1)  # too late, and no error
        os.close(out)

    run(story())


def test_pids_name_their_execs(shim: Shim, run: Run) -> None:
    async def story() -> None:
        await shim.create("sleep", "60")
        await shim.container.start("")
        await shim.exec("e1", "sleep", "60")
        pid = await shim.container.start("e1")
        named = {each.pid: each.info.type_url for each in await shim.control.pids()}
        assert named[pid].endswith("ProcessDetails")
        assert named[shim.container.pid] == ""
        await shim.control.kill("e1", signal.SIGKILL, False)
        await shim.container.wait("e1")

    run(story())
