import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from protos import typeurl
from protos.containerd.runtime.task.v3 import shim_pb2
from protos.containerd.types.runc.options import oci_pb2
from protos.containerd.types.task import task_pb2
from protos.errdefs import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unimplemented, Unknown
from services.shim.container import Container
from services.shim.control import Control
from services.shim.loop import Loop
from services.shim.process import record
from services.shim.reaper import Exit, Reaper
from tests.fakes.runtime.bundle import PROGRAM, Bundle
from tests.unit.shim.conftest import Run
from tests.unit.shim.streams.peers import Attached, config, readable


class Shim:
    """A container on the fake runtime, and what it published."""

    def __init__(self, loop: Loop, path: Path) -> None:
        self.loop, self.path = loop, path
        self.events: list[tuple[str, Message]] = []
        self.container = Container(loop, "ns", lambda topic, event: self.events.append((topic, event)))
        self.control = Control(loop, self.container)

    async def create(self, *args: str, **fields: Any) -> int:
        self.bundle = Bundle(self.path / "bundle", *args)
        options = oci_pb2.Options(binary_name=str(PROGRAM), root=str(self.bundle.root))
        request = shim_pb2.CreateTaskRequest(
            id="c1", bundle=str(self.bundle.path), options=typeurl.from_message(options), **fields
        )
        return await self.container.create(request)

    async def run(self, *args: str, **fields: Any) -> Exit:
        await self.create(*args, **fields)
        await self.container.start("")
        return await self.container.wait("")

    async def exec(self, name: str, *args: str, **fields: Any) -> None:
        spec = typeurl.from_json(typeurl.PROCESS, {"args": list(args)})
        await self.container.exec(shim_pb2.ExecProcessRequest(id="c1", exec_id=name, spec=spec, **fields))

    def topics(self) -> list[str]:
        return [topic.removeprefix("/tasks/") for topic, _ in self.events]

    def fifo(self, name: str) -> str:
        os.mkfifo(self.path / name)
        return str(self.path / name)

    def owner(self, **fields: Any) -> str:
        wanted = config(self.path, **fields)
        (self.path / "config.json").write_text(json_format.MessageToJson(wanted))
        return f"binary:///x/docker-containerd-shim?streams={self.path}/config.json"


@pytest.fixture
def shim(loop: Loop, reaper: Reaper, tmp_path: Path) -> Iterator[Shim]:
    shim = Shim(loop, tmp_path)
    yield shim
    if shim.container.pid:
        loop.run_until(loop.spawn(end(shim.container, shim.control)))


async def end(container: Container, control: Control) -> None:
    if container.state("").status not in (task_pb2.STOPPED, task_pb2.UNKNOWN):
        await control.kill("", signal.SIGKILL, False)
        await container.wait("")
    if container.state("").status != task_pb2.UNKNOWN:
        await container.delete("")
    await container.processes.drained()


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


def test_nothing_is_asked_of_what_is_not_there(shim: Shim, run: Run) -> None:
    container, control = shim.container, shim.control
    for verb in (container.start(""), container.wait(""), container.delete(""), control.pause(), control.stats()):
        with pytest.raises(NotFound):
            run(verb)
    assert (container.id, container.pid) == ("", 0)
    run(container.processes.drained())
