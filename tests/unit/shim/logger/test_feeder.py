import socket
from collections.abc import Iterator

import pytest

from services.shim.logger import feeder, packet
from services.shim.logger.lines import Block

ROOM = memoryview(bytearray(packet.LIMIT))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        for number in range(5):
            near.send(packet.pack("stdout", Block(b"%d\n" % number, number, False), None))
        yield near, far


def peeked(far: socket.socket, most: int) -> list[bytes]:
    return [entry.line for packets in feeder._peeked(far, ROOM, most) for entry in packets]


def test_packets_that_wait_are_taken_together(ends: tuple[socket.socket, socket.socket]) -> None:
    _, far = ends
    assert peeked(far, 3) == [b"0", b"1", b"2"] == peeked(far, 3)
    assert peeked(far, 100) == [b"0", b"1", b"2", b"3", b"4"]
    assert peeked(far, 1) == [b"0"]
    for _ in range(3):
        far.recv_into(ROOM)
    assert peeked(far, 100) == [b"3", b"4"]


def test_the_end_is_behind_the_last_packet(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    near.shutdown(socket.SHUT_WR)
    assert len(peeked(far, 100)) == 5
    for _ in range(5):
        far.recv_into(ROOM)
    assert peeked(far, 100) == []
