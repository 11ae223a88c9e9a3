from services.shim.logger.cached import Cached
from services.shim.logger.driver import Replay
from services.shim.logger.lines import Block
from services.shim.loop import Future


class Part:
    def __init__(self) -> None:
        self.blocked: Future[None] | None = None
        self.written = self.dropped = 0
        self.taken: list[tuple[str, bytes]] = []
        self.rest: Future[None] | None = None
        self.closed = False

    def take(self, stream: str, blocks: list[Block], now: int) -> None:
        self.taken += [(stream, block.data) for block in blocks]

    def replay(self) -> Replay | None:
        return None

    def close(self) -> Future[None] | None:
        self.closed = True
        return self.rest


def test_both_get_the_same_lines() -> None:
    first, copy = Part(), Part()
    log = Cached(first, copy)
    log.write("stdout", b"one\ntw", 1)
    assert log.pending("stdout") == b"tw"
    log.end("stdout", 2)
    assert first.taken == copy.taken == [("stdout", b"one\n"), ("stdout", b"tw")]


def test_the_container_waits_for_either() -> None:
    first, copy = Part(), Part()
    log = Cached(first, copy)
    assert log.blocked is None
    copy.blocked = Future()
    assert log.blocked is copy.blocked
    first.blocked = Future()
    assert log.blocked is first.blocked


def test_what_counts_is_the_first() -> None:
    first, copy = Part(), Part()
    first.written, first.dropped, first.rest = 3, 1, Future()
    log = Cached(first, copy)
    assert (log.written, log.dropped) == (3, 1)
    assert log.close() is first.rest and copy.closed
