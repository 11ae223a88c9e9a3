import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from protos.errdefs import FailedPrecondition, InvalidArgument, Unimplemented
from protos.streams.v1 import streams_pb2
from services.shim.logger.none import Nothing
from services.shim.loop import Future, Loop
from services.shim.reaper import Child
from services.shim.streams.owner import Owner, open_owner, read_config
from services.shim.streams.stdcopy import header
from tests.unit.shim.conftest import Run
from tests.unit.shim.streams.peers import Attached, Caller, Process, config, readable


class Processes:
    """Work of one's own is done at once; nobody forks here."""

    def background(self, body: Callable[[], None]) -> Future[Any]:
        body()
        done: Future[Any] = Future()
        done.set(None)
        return done

    def fork(self, body: Callable[[], None]) -> Child:
        raise AssertionError("none of these drivers needs a process")

    def signal(self, pid: int, number: int) -> bool:
        return False


def open_one(loop: Loop, config: streams_pb2.Config) -> Owner:
    return loop.run_until(loop.spawn(open_owner(loop, Processes(), config)))


class Scene:
    """An owner, the process whose streams it has, and the clients a test attaches."""

    def __init__(self, loop: Loop, tmp_path: Path) -> None:
        self.loop, self._path = loop, tmp_path
        self._open: list[Any] = []

    def begin(self, **fields: Any) -> "Scene":
        self.prepare(**fields)
        self.owner.begin(None)
        return self

    def prepare(self, **fields: Any) -> "Scene":
        self.config = config(self._path, **fields)
        self.owner = open_one(self.loop, self.config)
        self.process = Process(self.owner.child())
        return self

    async def attach(self, **attach: Any) -> Attached:
        client = Attached(self.loop, self.config, **attach)
        self._open.append(client)
        return await client.listening()

    async def ask(self, **verb: Any) -> Caller:
        caller = Caller(self.loop, self.config.socket, streams_pb2.Request(**verb), [])
        self._open.append(caller)
        return caller

    def log(self) -> str:
        return "".join(json.loads(line)["log"] for line in (self._path / "log").read_text().splitlines())

    def close(self) -> None:
        for each in self._open:
            each.close()


@pytest.fixture
def scene(loop: Loop, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(loop, tmp_path)
    yield scene
    scene.owner.close()
    scene.close()
    loop.run_until(loop.spawn(loop.timeout(scene.owner.quiet, 30)))


def test_output_goes_to_log_and_client(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin()
        client = await scene.attach(multiplexed=True)
        os.write(scene.process.stdout, b"out\n")
        assert await client.read(12) == header("stdout", 4) + b"out\n"
        os.write(scene.process.stderr, b"err\n")
        assert await client.read(12) == header("stderr", 4) + b"err\n"
        scene.process.exit()
        assert await client.rest() == b""
        assert await client.reason() == streams_pb2.EXITED
        assert await client.caller.ended()
        await scene.owner.ended
        assert scene.log() == "out\nerr\n"
        assert not Path(scene.config.socket).exists()

    run(story())


def test_client_attached_before_the_start_misses_nothing(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.prepare()
        client = await scene.attach()
        os.write(scene.process.stdout, b"first")
        scene.owner.begin(None)
        assert await client.read(5) == b"first"
        scene.process.exit()

    run(story())


def test_client_gets_only_what_it_wants(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin()
        client = await scene.attach(stdout=False)
        os.write(scene.process.stdout, b"out")
        os.write(scene.process.stderr, b"err")
        scene.process.exit()
        assert await client.rest() == b"err"

    run(story())


def test_stdin_reaches_the_process_unread_bytes_first(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin(open_stdin=True, stdin_once=True)
        client = await scene.attach(stdin=True, unread=b"early ")
        client.socket.send(b"late")
        client.socket.shutdown(socket.SHUT_WR)
        got = b""
        while not got.endswith(b"late"):
            await readable(scene.loop, scene.process.stdin)
            got += os.read(scene.process.stdin, 100)
        assert got == b"early late"
        await readable(scene.loop, scene.process.stdin)
        assert os.read(scene.process.stdin, 1) == b""
        os.write(scene.process.stdout, b"answer")
        scene.process.exit()
        assert await client.rest() == b"answer"  # half-closed, it still listens

    run(story())


def test_what_a_vanished_client_typed_counts_and_ends_the_input(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin(open_stdin=True, stdin_once=True)
        client = await scene.attach(stdin=True)
        client.socket.send(b"last words")
        client.socket.close()
        got = b""
        while True:
            await readable(scene.loop, scene.process.stdin)
            piece = os.read(scene.process.stdin, 100)
            if not piece:
                break
            got += piece
        assert got == b"last words"

    run(story())


def test_client_that_ends_leaves_where_stdin_stays(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin(open_stdin=True)
        client = await scene.attach(stdin=True)
        client.socket.shutdown(socket.SHUT_WR)
        assert await client.rest() == b""
        assert await client.reason() == streams_pb2.CLIENT_GONE
        again = await scene.attach(stdin=True)
        again.socket.send(b"still here")
        await readable(scene.loop, scene.process.stdin)
        assert os.read(scene.process.stdin, 100) == b"still here"
        scene.process.exit()

    run(story())


def test_half_close_of_a_listener_means_nothing(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin()
        client = await scene.attach()
        client.socket.shutdown(socket.SHUT_WR)
        await scene.loop.sleep(0.01)
        os.write(scene.process.stdout, b"on")
        scene.process.exit()
        assert await client.rest() == b"on"

    run(story())


def test_vanished_client_is_noticed(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin()
        client = await scene.attach()
        client.socket.close()
        assert await client.reason() == streams_pb2.CLIENT_GONE
        status = await (await scene.ask(status=streams_pb2.Status())).reply()
        assert status.status.attached_clients == 0
        scene.process.exit()

    run(story())


def test_detach_keys_detach_from_a_terminal(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.prepare(tty=True, open_stdin=True)
        master, slave = os.openpty()
        os.set_blocking(master, False)
        scene.owner.begin(master)
        client = await scene.attach(stdin=True, detach_keys=b"\x10\x11")
        client.socket.send(b"x\x10")
        client.socket.send(b"\x11y")
        assert await client.reason() == streams_pb2.DETACHED
        scene.process.exit()
        os.close(slave)

    run(story())


def test_terminal_takes_and_gives(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.prepare(tty=True, open_stdin=True)
        master, slave = os.openpty()
        os.set_blocking(master, False)
        scene.owner.begin(master)
        client = await scene.attach(stdin=True)
        client.socket.send(b"hi\n")
        assert await client.read(4) == b"hi\r\n"  # the terminal's echo
        assert os.read(slave, 10) == b"hi\n"
        os.write(slave, b"out\n")
        assert await client.read(5) == b"out\r\n"
        scene.process.exit()
        os.close(slave)
        assert await client.rest() == b""
        assert scene.log() == "hi\r\nout\r\n"

    run(story())


def test_replay_comes_before_the_live_stream(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin()
        lines = b"".join(b"line %05d\n" % number for number in range(5000))
        first = await scene.attach()
        os.write(scene.process.stdout, lines[:40_000])
        await first.read(40_000)
        os.write(scene.process.stdout, lines[40_000:] + b"half")
        await first.read(len(lines) - 40_000 + 4)
        client = await scene.attach(logs=True)
        os.write(scene.process.stdout, b" line\n")
        scene.process.exit()
        assert await client.rest() == lines + b"half line\n"

    run(story())


def test_replay_alone_ends_by_itself(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin()
        live = await scene.attach()
        os.write(scene.process.stdout, b"a\n")
        os.write(scene.process.stderr, b"b\n")
        await live.read(4)
        client = await scene.attach(logs=True, stream=False, stdout=False, multiplexed=True)
        assert await client.rest() == header("stderr", 2) + b"b\n"
        assert await client.reason() == streams_pb2.EXITED
        scene.process.exit()

    run(story())


def test_slow_client_holds_the_process_back_not_the_log(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin()
        client = await scene.attach()
        os.set_blocking(scene.process.stdout, False)
        written = 0
        for _ in range(3000):
            try:
                written += os.write(scene.process.stdout, b"x" * 1023 + b"\n")
            except BlockingIOError:
                await scene.loop.sleep(0.001)
        assert (1 << 20) < written < (3 << 20)
        status = (await (await scene.ask(status=streams_pb2.Status())).reply()).status
        assert status.lines_written > 1000
        scene.process.exit()
        assert len(await client.rest()) == written
        assert len(scene.log()) == written

    run(story())


def test_vanished_slow_client_sets_the_process_free(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin()
        client = await scene.attach()
        os.set_blocking(scene.process.stdout, False)
        full = 0
        while full < 20:
            try:
                os.write(scene.process.stdout, b"x" * 4096)
                full = 0
            except BlockingIOError:
                full += 1
                await scene.loop.sleep(0.001)
        client.socket.close()
        for _ in range(1000):
            try:
                os.write(scene.process.stdout, b"y" * 65536)
                break
            except BlockingIOError:
                await scene.loop.sleep(0.001)
        else:
            pytest.fail("still held back")
        scene.process.exit()

    run(story())


def test_all_output_arrives_at_a_client_slow_to_the_end(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin(log_driver="none")
        client = await scene.attach()
        sent = os.urandom(600_000)
        rest = memoryview(sent)
        os.set_blocking(scene.process.stdout, False)
        while rest:
            try:
                rest = rest[os.write(scene.process.stdout, rest) :]
            except BlockingIOError:
                await scene.loop.sleep(0)
        scene.process.exit()
        await scene.owner.ended
        scene.owner.close()
        assert not scene.owner.quiet.done
        assert await client.rest() == sent
        client.socket.close()
        await scene.owner.quiet

    run(story())


def test_output_is_read_though_the_client_never_stops_typing(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin(open_stdin=True, stdin_once=True)
        client = await scene.attach(stdin=True)
        client.socket.setblocking(False)
        typed = 0
        try:
            while True:
                typed += client.socket.send(bytes(65536))
        except BlockingIOError:
            pass
        os.write(scene.process.stdout, b"enough")
        scene.process.exit()
        assert await client.rest() == b"enough"  # not a reset

    run(story())


def test_lingering_writer_is_cut_by_finish(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin()
        client = await scene.attach()
        os.write(scene.process.stdout, b"last words")
        scene.owner.finish()
        assert scene.owner.ended.done
        assert await client.rest() == b"last words"
        assert scene.log() == "last words"
        scene.process.exit()

    run(story())


def test_close_stdin_closes_it_for_the_process(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin(open_stdin=True)
        reply = await (await scene.ask(close_stdin=streams_pb2.CloseStdin())).reply()
        assert reply.WhichOneof("answer") == "done"
        await readable(scene.loop, scene.process.stdin)
        assert os.read(scene.process.stdin, 1) == b""
        scene.process.exit()

    run(story())


def test_several_clients_share_the_process(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin(open_stdin=True)
        clients = [await scene.attach(stdin=True) for _ in range(5)]
        for number, client in enumerate(clients):
            client.socket.send(b"%d" % number)
        got = b""
        while len(got) < 5:
            await readable(scene.loop, scene.process.stdin)
            got += os.read(scene.process.stdin, 100)
        assert sorted(got) == sorted(b"01234")
        os.write(scene.process.stdout, b"all")
        scene.process.exit()
        assert [await client.rest() for client in clients] == [b"all"] * 5

    run(story())


def test_dead_caller_does_not_end_its_client(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin()
        client = await scene.attach()
        client.caller.close()
        await scene.loop.sleep(0.01)
        os.write(scene.process.stdout, b"alive")
        scene.process.exit()
        assert await client.rest() == b"alive"

    run(story())


def test_attach_without_a_socket_is_refused(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin()
        reply = await (await scene.ask(attach=streams_pb2.Attach())).reply()
        assert "client's socket" in reply.error
        scene.process.exit()

    run(story())


def test_malformed_request_is_refused(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
            caller.connect(scene.config.socket)
            caller.send(b"\xff\xff\xff")
            await readable(scene.loop, caller.fileno())
            assert streams_pb2.Reply.FromString(caller.recv(1000)).error == "malformed request"
        scene.process.exit()

    run(story())


def test_clients_of_a_start_that_failed_are_told(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.prepare()
        client = await scene.attach()
        scene.process.exit()
        scene.owner.close()
        assert await client.rest() == b""
        assert await client.reason() == streams_pb2.EXITED

    run(story())


def test_nothing_stays_open(loop: Loop, run: Run, tmp_path: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    scene = Scene(loop, tmp_path)

    async def story() -> None:
        scene.begin(open_stdin=True)
        client = await scene.attach(stdin=True)
        scene.process.exit()
        await client.rest()
        scene.close()
        await scene.owner.quiet
        scene.owner.close()

    run(story())
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_comings_and_goings_leave_nothing(scene: Scene, run: Run) -> None:
    async def story() -> None:
        scene.begin(open_stdin=True)
        before = set(Path("/proc/self/fd").iterdir())
        for number in range(200):
            client = await Attached(scene.loop, scene.config, stdin=True, logs=number % 2 == 0).listening()
            os.write(scene.process.stdout, b"x" * 1000 + b"\n")
            client.close()
        while (await (await scene.ask(status=streams_pb2.Status())).reply()).status.attached_clients:
            await scene.loop.sleep(0.005)
        scene.close()
        assert set(Path("/proc/self/fd").iterdir()) == before
        scene.process.exit()

    run(story())


class Hesitant(Nothing):
    """Blocks twice in a row, the second time before anybody could go on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = b""

    def write(self, stream: str, data: bytes, now: int) -> None:
        self.seen += data
        self.blocked = Future()

    def let_go(self, again: bool) -> None:
        blocked, self.blocked = self.blocked, Future() if again else None
        assert blocked is not None
        blocked.set(None)


def test_a_driver_that_blocks_anew_is_awaited_anew(loop: Loop, run: Run, tmp_path: Path) -> None:
    driver = Hesitant()
    owner = Owner(loop, config(tmp_path), driver)
    process = Process(owner.child())
    owner.begin(None)

    async def story() -> None:
        os.write(process.stdout, b"one\n")
        await seen(b"one\n")
        os.write(process.stdout, b"two\n")
        driver.let_go(again=True)
        driver.let_go(again=False)
        await seen(b"one\ntwo\n")

    async def seen(text: bytes) -> None:
        while driver.seen != text:
            await turn()

    async def turn() -> None:
        turned: Future[None] = Future()
        loop.call_later(0.01, lambda: turned.set(None))
        await turned

    run(story())
    process.exit()
    owner.close()


def test_path_too_long_is_refused(loop: Loop, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="longer than 107 bytes"):
        open_one(loop, config(tmp_path, socket="/" + "x" * 107))


def test_unknown_driver_is_named(loop: Loop, tmp_path: Path) -> None:
    with pytest.raises(Unimplemented, match="awslogs"):
        open_one(loop, config(tmp_path, log_driver="awslogs"))


def test_log_that_cannot_be_opened_is_named(loop: Loop, tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"failed to initialize logging driver: open .*: No such file"):
        open_one(loop, config(tmp_path, log_path=str(tmp_path / "no" / "log")))


@pytest.mark.parametrize("spelling", ["logPath", "log_path"])
def test_config_is_protobufs_json(tmp_path: Path, spelling: str) -> None:
    (tmp_path / "c").write_text(json.dumps({spelling: "/x", "tty": True, "logOptions": {"max-size": "1m"}, "new": 1}))
    read = read_config(tmp_path / "c")
    assert (read.log_path, read.tty, dict(read.log_options)) == ("/x", True, {"max-size": "1m"})


@pytest.mark.parametrize("text", ["", "[]", '{"tty": "yes"}', '{"logOptions": 7}'])
def test_broken_config_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c").write_text(text)
    with pytest.raises(InvalidArgument):
        read_config(tmp_path / "c")
