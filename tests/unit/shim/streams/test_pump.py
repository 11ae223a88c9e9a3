import os

import pytest

from services.shim.loop import Future, Loop
from services.shim.streams.pump import Pump
from tests.unit.shim.conftest import Run


def pipe() -> tuple[int, int]:
    return os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)


def close(*descriptors: int) -> None:
    for fd in descriptors:
        os.close(fd)


@pytest.mark.parametrize("splice", [True, False])
def test_copies_until_the_end(loop: Loop, run: Run, splice: bool) -> None:
    (source, feed), (drain, target) = pipe(), pipe()
    ended: Future[None] = Future()
    pump = Pump(loop, source, target, lambda: ended.set(None), splice)
    pump.start()
    os.write(feed, b"hello")
    run(loop.sleep(0.005))
    assert os.read(drain, 10) == b"hello"
    os.write(feed, b"bye")
    os.close(feed)
    run(loop.timeout(ended, 1))
    assert os.read(drain, 10) == b"bye"
    close(source, drain, target)


@pytest.mark.parametrize("splice", [True, False])
def test_full_target_stops_the_source(loop: Loop, run: Run, splice: bool) -> None:
    (source, feed), (drain, target) = pipe(), pipe()
    ended: Future[None] = Future()
    pump = Pump(loop, source, target, lambda: ended.set(None), splice)
    pump.start()
    sent, got = os.urandom(1 << 20), bytearray()
    rest = memoryview(sent)
    while len(got) < len(sent):
        try:
            rest = rest[os.write(feed, rest) :] if rest else rest
        except BlockingIOError:
            pass
        run(loop.sleep(0))
        try:
            got += os.read(drain, 10_000)
        except BlockingIOError:
            pass
    assert bytes(got) == sent
    pump.stop()
    close(source, feed, drain, target)


@pytest.mark.parametrize("splice", [True, False])
def test_gone_target_ends_it(loop: Loop, run: Run, splice: bool) -> None:
    (source, feed), (drain, target) = pipe(), pipe()
    ended: Future[None] = Future()
    Pump(loop, source, target, lambda: ended.set(None), splice).start()
    os.close(drain)
    os.write(feed, b"x")
    run(loop.timeout(ended, 1))
    close(source, feed, target)


def test_finish_takes_what_is_there(loop: Loop) -> None:
    (source, feed), (drain, target) = pipe(), pipe()
    ended: Future[None] = Future()
    pump = Pump(loop, source, target, lambda: ended.set(None), splice=True)
    pump.start()
    os.write(feed, b"last")
    pump.finish()
    assert ended.done
    assert os.read(drain, 10) == b"last"
    close(source, feed, drain, target)


def test_stop_is_silent(loop: Loop, run: Run) -> None:
    (source, feed), (drain, target) = pipe(), pipe()
    ended: Future[None] = Future()
    pump = Pump(loop, source, target, lambda: ended.set(None), splice=True)
    pump.start()
    pump.stop()
    os.close(feed)
    run(loop.sleep(0.005))
    assert not ended.done
    close(source, drain, target)
