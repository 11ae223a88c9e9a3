import os
from typing import Any

import pytest

from protos.containerd.runtime.task.v3 import shim_pb2
from protos.containerd.types.task import task_pb2
from protos.errdefs import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unimplemented, Unknown
from tests.unit.shim.conftest import Run
from tests.unit.shim.shims import Shim
from tests.unit.shim.streams.peers import Attached, config, readable


def test_whole_life_is_published(shim: Shim, run: Run) -> None:
    async def story() -> None:
        ended = await shim.run("sh", "-c", "exit 7")
        assert ended.status == 7
        state = shim.container.state("")
        assert (state.status, state.exit_status, state.pid) == (task_pb2.STOPPED, 7, ended.pid)
        assert await shim.container.delete("") == ended
        assert shim.topics() == ["create", "start", "exit", "delete"]
        exited: Any = shim.events[2][1]
        assert (exited.container_id, exited.id, exited.pid, exited.exit_status) == ("c1", "c1", ended.pid, 7)
        assert shim.bundle.verbs() == ["create", "start", "delete"]

    run(story())


def test_created_container_can_be_deleted(shim: Shim, run: Run) -> None:
    async def story() -> None:
        await shim.create("sleep", "60")
        assert shim.container.state("").status == task_pb2.CREATED
        assert (await shim.container.delete("")).status == 137
        assert shim.topics() == ["create", "exit", "delete"]

    run(story())


def test_running_container_is_not_deleted(shim: Shim, run: Run) -> None:
    async def story() -> None:
        await shim.create("sleep", "60")
        await shim.container.start("")
        with pytest.raises(FailedPrecondition, match="cannot delete a running process"):
            await shim.container.delete("")

    run(story())


def test_failed_delete_is_forced(shim: Shim, run: Run) -> None:
    async def story() -> None:
        await shim.create("true")
        shim.bundle.fail("delete", "busy")
        await shim.container.start("")
        await shim.container.wait("")
        while shim.bundle.verbs()[-1] != "delete":
            await shim.loop.sleep(0.005)
        await shim.loop.sleep(0.1)
        (shim.bundle.root / "fail-delete").unlink()
        await shim.container.delete("")
        last = shim.bundle.calls()[-1]["words"]
        assert (last["verb"], last["force"]) == ("delete", True)

    run(story())


def test_failed_create_leaves_nothing(shim: Shim, run: Run) -> None:
    async def story() -> None:
        with pytest.raises(Unknown, match=r'exec: "no-such": executable file not found in \$PATH'):
            await shim.create("no-such")
        assert shim.topics() == []
        with pytest.raises(NotFound):
            shim.container.state("")
        assert (await shim.run("true")).status == 0  # it may be tried again

    run(story())


def test_failed_start_can_be_deleted(shim: Shim, run: Run) -> None:
    async def story() -> None:
        await shim.create("sleep", "60")
        shim.bundle.fail("start", "no")
        with pytest.raises(Unknown, match="OCI runtime start failed: no"):
            await shim.container.start("")
        assert shim.container.state("").status == task_pb2.CREATED
        await shim.container.delete("")

    run(story())


def test_there_is_one_container(shim: Shim, run: Run) -> None:
    async def story() -> None:
        await shim.create("sleep", "60")
        with pytest.raises(AlreadyExists):
            await shim.container.create(shim_pb2.CreateTaskRequest(id="c2", bundle=str(shim.bundle.path)))

    run(story())


def test_checkpoints_are_not_there(shim: Shim, run: Run) -> None:
    with pytest.raises(Unimplemented):
        run(shim.create("true", checkpoint="/x"))


# execs


def test_exec_runs_beside_init(shim: Shim, run: Run) -> None:
    async def story() -> None:
        await shim.create("sleep", "60")
        await shim.container.start("")
        out = os.open(fifo := shim.fifo("out"), os.O_RDONLY | os.O_NONBLOCK)
        await shim.exec("e1", "sh", "-c", "echo hello; exit 4", stdout=fifo)
        assert shim.container.state("e1").status == task_pb2.CREATED
        pid = await shim.container.start("e1")
        ended = await shim.container.wait("e1")
        assert (ended.pid, ended.status) == (pid, 4)
        assert os.read(out, 100) == b"hello\n"
        assert await shim.container.delete("e1") == ended
        with pytest.raises(NotFound):
            shim.container.state("e1")
        assert shim.topics() == ["create", "start", "exec-added", "exec-started", "exit"]
        assert not list(shim.bundle.path.glob("e1*"))
        os.close(out)

    run(story())


def test_failed_exec_ends_at_once(shim: Shim, run: Run) -> None:
    async def story() -> None:
        await shim.create("sleep", "60")
        await shim.container.start("")
        await shim.exec("e1", "no-such")
        with pytest.raises(Unknown, match=r'OCI runtime exec failed: exec failed: .*exec: "no-such"'):
            await shim.container.start("e1")
        assert (await shim.container.wait("e1")).status == 255
        await shim.container.delete("e1")

    run(story())


def test_exec_needs_a_running_container_and_a_name(shim: Shim, run: Run) -> None:
    async def story() -> None:
        await shim.create("sleep", "60")
        with pytest.raises(FailedPrecondition):
            await shim.exec("e1", "true")
        await shim.container.start("")
        with pytest.raises(InvalidArgument):
            await shim.exec("../e1", "true")
        await shim.exec("e1", "true")
        with pytest.raises(AlreadyExists):
            await shim.exec("e1", "true")

    run(story())


def test_client_attached_before_the_start_gets_everything(shim: Shim, run: Run) -> None:
    async def story() -> None:
        uri = shim.owner(open_stdin=True, stdin_once=True)
        await shim.create("sh", "-c", "echo first; cat; echo last", stdout=uri, stderr=uri)
        client = await Attached(shim.loop, config(shim.path), stdin=True).listening()
        await shim.container.start("")
        client.socket.send(b"typed\n")
        assert await client.read(12) == b"first\ntyped\n"
        await shim.control.close_io("")
        assert await client.rest() == b"last\n"
        client.close()
        assert (await shim.container.wait("")).status == 0
        await shim.container.delete("")
        await shim.container.processes.drained()
        assert len((shim.path / "log").read_text().splitlines()) == 3

    run(story())


def test_delete_does_not_wait_for_a_slow_client(shim: Shim, run: Run) -> None:
    async def story() -> None:
        uri = shim.owner(log_driver="none")
        await shim.create("sh", "-c", "head -c 900000 /dev/zero", stdout=uri, stderr=uri)
        client = await Attached(shim.loop, config(shim.path)).listening()
        await shim.container.start("")
        await shim.container.wait("")
        await shim.container.delete("")
        drained = shim.loop.spawn(shim.container.processes.drained())
        await readable(shim.loop, client.socket.fileno())
        assert not drained.done
        assert len(await client.rest()) == 900_000
        client.close()
        await drained

    run(story())


def test_nothing_is_asked_of_what_is_not_there(shim: Shim, run: Run) -> None:
    container, control = shim.container, shim.control
    for verb in (container.start(""), container.wait(""), container.delete(""), control.pause(), control.stats()):
        with pytest.raises(NotFound):
            run(verb)
    assert (container.id, container.pid) == ("", 0)
    run(container.processes.drained())
