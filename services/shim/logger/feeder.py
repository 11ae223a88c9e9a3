"""The process that feeds a sink: takes packets of the shim one after another, and may wait for the sink as it likes.

It ends when the shim has nothing more, or within some seconds of the shim's death. A packet is left in the socket until
its lines are out, so that a successor finds it.
"""

import gc
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from services.shim.linux import SO_PEEK_OFF, set_parent_death_signal
from services.shim.logger import packet
from services.shim.logger.packet import Entry
from services.shim.title import set_title

PROGRAM: Final = "docker-log"
_GRACE: Final = 10
"""Seconds for what is left once the shim has died."""


class Target(Protocol):
    """Where the lines go. Anything may block."""

    def open(self) -> None:
        """Reach it; OSError with the reason in Docker's words."""

    def send(self, entries: Sequence[Entry]) -> int:
        """Pass them on; how many of the last were not taken, `reason` then says why."""

    reason: str


def serve(
    channel: socket.socket, make: Callable[[], Target], name: str, container: str, connect: bool, most: int = 1
) -> None:
    """Until the shim has nothing more. `connect`: say first whether the sink is there.

    Packets that wait are taken together until they have `most` records.
    """
    set_title(PROGRAM, name, container)
    gc.freeze()  # the shim's objects are left alone: their descriptors are ours by number only
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE))
    set_parent_death_signal(signal.SIGTERM)
    target = _reached(channel, make, connect)
    if target is None:
        return
    channel.send(packet.READY)
    failing = False
    room = memoryview(bytearray(packet.LIMIT))
    while packets := _peeked(channel, room, most):
        lost = _fed(target, [entry for each in packets for entry in each])
        for _ in packets:
            channel.recv_into(room)
        if lost:
            channel.send(packet.LOST + f"{lost} {target.reason}".encode()[:2000])
        elif failing:
            channel.send(packet.READY)
        failing = bool(lost)


def _peeked(channel: socket.socket, room: memoryview, most: int) -> list[list[Entry]]:
    """The packets that wait, at least one; [] at the end. They stay in the socket."""
    packets: list[list[Entry]] = []
    found, flags = 0, socket.MSG_PEEK
    if most > 1:
        channel.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, 0)
    with suppress(BlockingIOError):
        while found < most and (length := channel.recv_into(room, 0, flags)):
            packets.append(list(packet.unpack(bytes(room[:length]))))
            found += len(packets[-1])
            flags |= socket.MSG_DONTWAIT
    if most > 1:
        channel.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, -1)
    return packets


def _reached(channel: socket.socket, make: Callable[[], Target], connect: bool) -> Target | None:
    try:
        target = make()
        if connect:
            target.open()
    except Exception as error:
        channel.send(packet.FAILED + str(error).encode()[:2000])
        return None
    return target


def _fed(target: Target, entries: list[Entry]) -> int:
    try:
        return target.send(entries)
    except Exception as error:  # a line that this sink cannot take must not come again and again
        target.reason = f"{type(error).__name__}: {error}"
        return len(entries)
