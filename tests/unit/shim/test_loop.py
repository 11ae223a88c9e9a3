import os
import signal
import socket

import pytest

from services.shim.loop import Future, Lock, Loop
from tests.unit.shim.conftest import Run


def test_timers_fire_in_order(loop: Loop, run: Run) -> None:
    fired: list[int] = []
    for number in (3, 1, 2):
        loop.call_later(number / 1000, lambda number=number: fired.append(number))
    run(loop.sleep(0.01))
    assert fired == [1, 2, 3]


def test_cancelled_timer_stays_silent(loop: Loop, run: Run) -> None:
    fired: list[int] = []
    loop.cancel(loop.call_later(0.001, lambda: fired.append(1)))
    run(loop.sleep(0.005))
    assert fired == []


def test_cancelling_late_leaves_nothing(loop: Loop, run: Run) -> None:
    number = loop.call_later(0, lambda: None)
    run(loop.sleep(0.001))
    loop.cancel(number)
    fired: list[int] = []
    loop.call_later(0, lambda: fired.append(1))
    run(loop.sleep(0.001))
    assert fired == [1]
    assert not loop._timers


def test_timeout_lets_work_go_on(loop: Loop, run: Run) -> None:
    done: Future[int] = Future()
    with pytest.raises(TimeoutError):
        run(loop.timeout(done, 0.001))
    done.set(7)
    assert run(loop.timeout(done, 1)) == 7


def test_future_keeps_its_first_value() -> None:
    future: Future[int] = Future()
    future.set(1)
    future.set(2)
    future.fail(ValueError())
    assert future.result() == 1


def test_lock_serves_in_turn(loop: Loop, run: Run) -> None:
    lock, seen = Lock(), []

    async def enter(number: int) -> None:
        async with lock:
            seen.append(number)
            await loop.sleep(0.001)
            seen.append(number)

    async def all_three() -> None:
        for future in [loop.spawn(enter(number)) for number in range(3)]:
            await future

    run(all_three())
    assert seen == [0, 0, 1, 1, 2, 2]


def test_failed_coroutine_fails_its_future(loop: Loop, run: Run) -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(fail())


def test_callback_may_remove_its_descriptor(loop: Loop, run: Run) -> None:
    reader, writer = os.pipe()
    seen: list[bytes] = []

    def read() -> None:
        seen.append(os.read(reader, 10))
        loop.remove(reader)

    loop.add_reader(reader, read)
    os.write(writer, b"x")
    run(loop.sleep(0.005))
    os.write(writer, b"y")
    run(loop.sleep(0.005))
    assert seen == [b"x"]
    os.close(reader)
    os.close(writer)


def test_half_close_is_no_hangup(loop: Loop, run: Run) -> None:
    ours, theirs = socket.socketpair()
    gone: list[int] = []
    with ours:
        loop.add_hangup(ours.fileno(), lambda: (gone.append(1), loop.remove(ours.fileno())))
        theirs.shutdown(socket.SHUT_WR)
        run(loop.sleep(0.005))
        assert gone == []
        theirs.close()
        run(loop.sleep(0.005))
        assert gone == [1]


def test_end_of_pipe_reaches_its_reader(loop: Loop, run: Run) -> None:
    reader, writer = os.pipe()
    ended: Future[bytes] = Future()
    loop.add_reader(reader, lambda: ended.set(os.read(reader, 1)))
    os.close(writer)
    assert run(loop.timeout(ended, 1)) == b""
    loop.remove(reader)
    os.close(reader)


def test_failing_callback_stops_nobody(loop: Loop, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    loop.call_soon(lambda: 1 / 0)
    run(loop.sleep(0))
    assert "callback failed" in caplog.text


def test_signal_arrives_in_the_loop(loop: Loop, run: Run) -> None:
    arrived: Future[None] = Future()
    loop.on_signal(signal.SIGUSR2, lambda: arrived.set(None))
    os.kill(os.getpid(), signal.SIGUSR2)
    run(loop.timeout(arrived, 1))
