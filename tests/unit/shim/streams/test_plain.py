import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos.errdefs import InvalidArgument, NotFound
from services.shim.loop import Loop
from services.shim.reaper import Reaper
from services.shim.streams.factory import Request, open_stdio
from services.shim.streams.plain import Null, Plain
from services.shim.streams.stdio import Stdio
from tests.unit.shim.conftest import Run
from tests.unit.shim.streams.peers import Process, readable


@pytest.fixture
def fifos(tmp_path: Path) -> Iterator[Path]:
    for name in ("stdin", "stdout", "stderr"):
        os.mkfifo(tmp_path / name)
    yield tmp_path


def request(stdin: str = "", stdout: str = "", stderr: str = "", terminal: bool = False) -> Request:
    return Request("ns", "c", stdin, stdout, stderr, terminal)


def reading(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def open_now(loop: Loop, reaper: Reaper, wanted: Request) -> Stdio:
    return loop.run_until(loop.spawn(open_stdio(loop, reaper, wanted)))


def test_nothing_asked_is_null(loop: Loop, reaper: Reaper) -> None:
    stdio = open_now(loop, reaper, request())
    assert isinstance(stdio, Null)
    assert {Path(f"/proc/self/fd/{fd}").readlink() for fd in stdio.child()} == {Path(os.devnull)}
    stdio.begin(None)
    stdio.accept_input()
    assert stdio.ended.done
    stdio.close()


def test_fifos_carry_three_streams(loop: Loop, run: Run, reaper: Reaper, fifos: Path) -> None:
    stdio = open_now(loop, reaper, request(*(str(fifos / name) for name in ("stdin", "stdout", "stderr"))))
    process = Process(stdio.child())
    stdio.begin(None)
    stdio.accept_input()
    out, err = reading(fifos / "stdout"), reading(fifos / "stderr")

    async def story() -> None:
        typed = os.open(fifos / "stdin", os.O_WRONLY)
        os.write(typed, b"in")
        await readable(loop, process.stdin)
        assert os.read(process.stdin, 10) == b"in"
        os.write(process.stdout, b"out")
        os.write(process.stderr, b"err")
        await readable(loop, out)
        await readable(loop, err)
        assert (os.read(out, 10), os.read(err, 10)) == (b"out", b"err")
        os.close(typed)
        process.exit()
        await stdio.ended

    run(story())
    stdio.close()
    assert os.read(out, 1) == b""
    os.close(out)
    os.close(err)


def test_stdin_ends_with_close_io_and_the_client(loop: Loop, run: Run, reaper: Reaper, fifos: Path) -> None:
    stdio = open_now(loop, reaper, request(stdin=str(fifos / "stdin")))
    process = Process(stdio.child())
    stdio.begin(None)
    stdio.accept_input()
    os.set_blocking(process.stdin, False)

    async def story() -> None:
        typed = os.open(fifos / "stdin", os.O_WRONLY)
        os.close(typed)
        await loop.sleep(0.01)
        with pytest.raises(BlockingIOError):
            os.read(process.stdin, 1)  # a client that leaves is no end
        typed = os.open(fifos / "stdin", os.O_WRONLY)
        stdio.close_stdin()
        os.write(typed, b"rest")
        os.close(typed)
        await readable(loop, process.stdin)
        assert os.read(process.stdin, 10) == b"rest"
        await readable(loop, process.stdin)
        assert os.read(process.stdin, 10) == b""

    run(story())
    process.exit()
    stdio.close()


def test_close_io_before_the_start_counts(loop: Loop, run: Run, reaper: Reaper, fifos: Path) -> None:
    stdio = open_now(loop, reaper, request(stdin=str(fifos / "stdin")))
    process = Process(stdio.child())
    stdio.begin(None)
    stdio.close_stdin()
    with pytest.raises(OSError, match="No such device"):
        os.open(fifos / "stdin", os.O_WRONLY | os.O_NONBLOCK)
    stdio.accept_input()

    async def story() -> None:
        await readable(loop, process.stdin)
        assert os.read(process.stdin, 10) == b""

    run(story())
    process.exit()
    stdio.close()


def test_reader_may_leave_and_another_come(loop: Loop, run: Run, reaper: Reaper, fifos: Path) -> None:
    stdio = open_now(loop, reaper, request(stdout=str(fifos / "stdout")))
    process = Process(stdio.child())
    stdio.begin(None)
    stdio.accept_input()

    async def story() -> None:
        first = reading(fifos / "stdout")
        os.close(first)
        os.write(process.stdout, b"nobody there")
        await loop.sleep(0.01)
        second = reading(fifos / "stdout")
        assert os.read(second, 100) == b"nobody there"
        os.close(second)

    run(story())
    process.exit()
    stdio.close()


def test_file_is_made_and_appended_to(loop: Loop, run: Run, reaper: Reaper, tmp_path: Path) -> None:
    path = tmp_path / "new" / "out"
    for text in (b"a\n", b"b\n"):
        stdio = open_now(loop, reaper, request(stdout=f"file://{path}", stderr=f"file://{path}"))
        process = Process(stdio.child())
        stdio.begin(None)
        stdio.accept_input()
        os.write(process.stdout, text)
        os.write(process.stderr, text)
        process.exit()
        run(stdio_ended(stdio))
        stdio.close()
    assert path.read_bytes() == b"a\na\nb\nb\n"


async def stdio_ended(stdio: Stdio) -> None:
    await stdio.ended


def test_terminal_goes_through_fifos(loop: Loop, run: Run, reaper: Reaper, fifos: Path) -> None:
    stdio = open_now(loop, reaper, request(str(fifos / "stdin"), str(fifos / "stdout"), terminal=True))
    master, slave = os.openpty()
    os.set_blocking(master, False)
    out = reading(fifos / "stdout")
    stdio.begin(master)
    stdio.accept_input()

    async def story() -> None:
        typed = os.open(fifos / "stdin", os.O_WRONLY)
        os.write(typed, b"x\n")
        await readable(loop, out)
        assert os.read(out, 10) == b"x\r\n"
        os.close(typed)
        os.close(slave)
        await stdio.ended

    run(story())
    stdio.close()
    os.close(out)


def test_stuck_reader_ends_with_finish(loop: Loop, reaper: Reaper, fifos: Path) -> None:
    stdio = open_now(loop, reaper, request(stdout=str(fifos / "stdout")))
    process = Process(stdio.child())
    stdio.begin(None)
    stdio.accept_input()
    stdio.finish()
    assert stdio.ended.done
    process.exit()
    stdio.close()


def test_missing_fifo_is_named(loop: Loop, reaper: Reaper, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        open_now(loop, reaper, request(stdout=str(tmp_path / "nowhere")))


def test_stdin_must_be_a_fifo(loop: Loop, reaper: Reaper, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(InvalidArgument, match="not a fifo"):
        open_now(loop, reaper, request(stdin=str(tmp_path / "f")))


def test_nothing_stays_open(loop: Loop, reaper: Reaper, fifos: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    stdio = open_now(loop, reaper, request(*(str(fifos / name) for name in ("stdin", "stdout", "stderr"))))
    assert isinstance(stdio, Plain)
    stdio.child()
    stdio.begin(None)
    stdio.accept_input()
    stdio.close()
    stdio.close()
    assert set(Path("/proc/self/fd").iterdir()) == before
