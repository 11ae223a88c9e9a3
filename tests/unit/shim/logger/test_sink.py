"""A Sink with a real process behind it, whose target does what a file says."""

import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from protos.errdefs import Unknown
from services.shim.logger.feeder import serve
from services.shim.logger.packet import Entry
from services.shim.logger.sink import Limit, Sink
from services.shim.loop import Loop
from services.shim.reaper import Child, Reaper
from tests.harness.wait import until


class Scripted:
    """Appends lines to `taken`; waits while `hung` is there, loses lines while `broken` is."""

    def __init__(self, place: Path) -> None:
        self.reason = ""
        self._place = place

    def open(self) -> None:
        if (self._place / "absent").exists():
            raise OSError("nobody is there")

    def send(self, entries: Sequence[Entry]) -> int:
        with suppress(FileNotFoundError), (self._place / "hung").open("rb") as fifo:
            fifo.read()  # until the test closes its end
        if (self._place / "broken").exists():
            self.reason = "it is broken"
            return len(entries)
        if (self._place / "bad").exists():
            raise ValueError("what is this")
        with (self._place / "taken").open("ab") as file:
            file.write(b"".join(each.stream.encode() + b" " + each.line + b"\n" for each in entries))
        return 0


class Counted:
    """A reaper that knows whom it has forked."""

    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper
        self.children: list[Child] = []

    def fork(self, body: Callable[[], None]) -> Child:
        self.children.append(self._reaper.fork(body))
        return self.children[-1]

    def signal(self, pid: int, number: int) -> bool:
        return self._reaper.signal(pid, number)


class Scene:
    def __init__(self, loop: Loop, place: Path) -> None:
        self.loop, self.place = loop, place
        self.reaper = Counted(Reaper(loop))
        self.sinks: list[Sink] = []

    def open(self, size: int = -1, records: int = 0) -> Sink:
        def body(channel: socket.socket, first: bool) -> None:
            serve(channel, lambda: Scripted(self.place), "test", "0" * 64, connect=first)

        sink = Sink(self.loop, self.reaper, "test", Limit(size, records), body)
        self.sinks.append(sink)
        self.loop.run_until(self.loop.spawn(sink.ready()))
        return sink

    def taken(self) -> list[str]:
        path = self.place / "taken"
        return path.read_text().splitlines() if path.exists() else []

    def turn(self) -> None:
        self.loop.run_until(self.loop.spawn(self._pause()))

    async def _pause(self) -> None:
        from services.shim.loop import Future

        passed: Future[None] = Future()
        self.loop.call_later(0.01, lambda: passed.set(None))
        await passed

    def wait(self, condition: Callable[[], object], what: str) -> None:
        def turned() -> object:
            self.turn()
            return condition()

        until(turned, what)

    def end(self, sink: Sink) -> None:
        self.loop.run_until(sink.close())


@pytest.fixture
def scene(loop: Loop, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(loop, tmp_path)
    yield scene
    for child in scene.reaper.children:
        scene.reaper.signal(child.pid, signal.SIGKILL)
    for sink in scene.sinks:
        scene.end(sink)


def test_lines_arrive_in_order(scene: Scene) -> None:
    sink = scene.open()
    for number in range(1000):
        sink.write("stdout" if number % 2 else "stderr", b"line %d\n" % number, 1)
    sink.write("stdout", b"rest", 2)
    sink.end("stdout", 3)
    scene.end(sink)
    assert scene.taken() == [f"{'stdout' if n % 2 else 'stderr'} line {n}" for n in range(1000)] + ["stdout rest"]
    assert (sink.written, sink.dropped) == (1001, 0)
    assert scene.reaper.children[0].exit.done


def test_a_sink_that_is_not_there_fails_the_start(scene: Scene) -> None:
    (scene.place / "absent").touch()
    with pytest.raises(Unknown, match="failed to initialize logging driver: nobody is there"):
        scene.open()
    scene.wait(lambda: scene.reaper.children[0].exit.done, "the process has ended")
    assert len(scene.reaper.children) == 1


def hang(scene: Scene) -> int:
    """A descriptor that lets go of the sink when it is closed."""
    os.mkfifo(scene.place / "hung")
    return os.open(scene.place / "hung", os.O_RDWR)


def let_go(scene: Scene, fd: int) -> None:
    (scene.place / "hung").unlink()
    os.close(fd)


def test_the_container_waits_for_a_sink_that_hangs(scene: Scene) -> None:
    fd, sink = hang(scene), scene.open()
    written = 0
    while sink.blocked is None:
        sink.write("stdout", b"x" * 99 + b"\n", 1)
        written += 1
    let_go(scene, fd)
    scene.loop.run_until(sink.blocked)
    scene.end(sink)
    assert len(scene.taken()) == written and sink.dropped == 0


def test_without_waiting_the_newest_lines_are_dropped(scene: Scene) -> None:
    fd, sink = hang(scene), scene.open(size=10_000)
    while not sink.dropped:
        sink.write("stdout", (b"x" * 99 + b"\n") * 50, 1)
        assert sink.blocked is None
    written, dropped = sink.written, sink.dropped
    let_go(scene, fd)
    scene.end(sink)
    assert len(scene.taken()) == written and dropped + written == 50 * ((dropped + written) // 50)


def test_a_limit_may_count_records(scene: Scene) -> None:
    fd, sink = hang(scene), scene.open(size=1 << 30, records=10)
    while not sink.dropped:
        sink.write("stdout", b"x" * 999 + b"\n", 1)
    let_go(scene, fd)
    scene.end(sink)
    assert len(scene.taken()) == sink.written


def test_what_the_sink_does_not_take_is_counted(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    sink = scene.open()
    (scene.place / "broken").touch()
    sink.write("stdout", b"a\nb\n", 1)
    scene.wait(lambda: sink.dropped == 2, "the loss is told")
    (scene.place / "broken").unlink()
    (scene.place / "bad").touch()
    sink.write("stdout", b"c\n", 1)
    scene.wait(lambda: sink.dropped == 3, "another is told")
    (scene.place / "bad").unlink()
    sink.write("stdout", b"d\n", 1)
    scene.end(sink)
    assert scene.taken() == ["stdout d"] and (sink.written, sink.dropped) == (1, 3)
    messages = [record.getMessage() for record in caplog.records]
    assert [message.partition(" driver=")[0] for message in messages] == [
        "log is not taken, lines are dropped", "log ends", "log is taken again", "log ended"
    ]


def test_a_process_that_is_killed_is_started_again(scene: Scene) -> None:
    fd, sink = hang(scene), scene.open()
    for number in range(500):
        sink.write("stdout", b"line %d\n" % number, 1)
    scene.reaper.signal(scene.reaper.children[0].pid, signal.SIGKILL)
    scene.wait(lambda: len(scene.reaper.children) == 2, "there is another")
    let_go(scene, fd)
    scene.end(sink)
    assert scene.taken() == [f"stdout line {number}" for number in range(500)]


def test_a_sink_that_hangs_is_given_up_after_the_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shim.logger.sink.CLOSE_SECONDS", 0.2)
    fd, sink = hang(scene), scene.open()
    sink.write("stdout", b"a\nb\n", 1)
    scene.end(sink)
    let_go(scene, fd)
    assert (sink.written, sink.dropped) == (0, 2)
    scene.wait(lambda: scene.reaper.children[0].exit.done, "its process has ended")
