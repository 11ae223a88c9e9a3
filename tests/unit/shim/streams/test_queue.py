import os
import socket

from services.shim.loop import Loop
from services.shim.streams.queue import Queue
from tests.unit.shim.conftest import Run


class Watcher:
    def __init__(self) -> None:
        self.room = self.broken = 0

    def has_room(self) -> None:
        self.room += 1

    def is_broken(self) -> None:
        self.broken += 1


def make(loop: Loop, sock: socket.socket) -> tuple[Queue, Watcher]:
    watcher = Watcher()
    fd = sock.fileno()
    return Queue(loop, fd, lambda parts: os.writev(fd, parts), watcher.has_room, watcher.is_broken), watcher


def test_goes_out_at_once(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        queue, _ = make(loop, ours)
        queue.put(b"a", b"", b"bc")
        assert (theirs.recv(10), queue.size) == (b"abc", 0)


def test_order_survives_a_full_socket(loop: Loop, run: Run) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        queue, watcher = make(loop, ours)
        sent = b"".join(b"%06d" % number for number in range(200_000))
        for start in range(0, len(sent), 5000):
            queue.put(sent[start : start + 5000])
        assert queue.size > 0
        got = bytearray()
        while len(got) < len(sent):
            try:
                got += theirs.recv(1 << 20)
            except BlockingIOError:
                run(loop.sleep(0))
        assert bytes(got) == sent
        run(loop.sleep(0))
        assert (queue.size, watcher.broken) == (0, 0)
        assert watcher.room > 0


def test_broken_socket_is_told_once(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        theirs.close()
        queue, watcher = make(loop, ours)
        queue.put(b"a")
        queue.put(b"b")
        assert (watcher.broken, queue.size) == (1, 0)


def test_stopped_queue_takes_nothing(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        queue, _ = make(loop, ours)
        queue.put(bytes(4 << 20))
        queue.stop()
        queue.put(b"more")
        assert queue.size == 0
