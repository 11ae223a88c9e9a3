"""Forwarding of one UDP port: per client and address it asked a flow, with a socket of its own towards the container.

Replies leave from the address the client sent to (IP_PKTINFO), which a listener on every address would not do itself.
A flow ends when neither side has sent for FLOW_SECONDS, as in the kernel's own tracking of UDP.
"""

import errno
import socket
import time
from typing import Any, Final

from protos.binding import Binding
from services.proxy import linux
from services.proxy.loop import IN, Loop, report

FLOW_SECONDS: Final = 90.0
SWEEP_SECONDS: Final = 15.0
BURST: Final = 64
"""Datagrams taken from one socket in one turn of the loop."""
LARGEST: Final = 1 << 16
IP_PKTINFO: Final = 8
IPV6_RECVPKTINFO: Final = 49
IPV6_PKTINFO: Final = 50
OUT_OF_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE)

_buffer: Final = memoryview(bytearray(LARGEST))


class Forward:
    """The listener of a binding, and its flows by client and asked address."""

    def __init__(self, loop: Loop, binding: Binding, listener: socket.socket) -> None:
        self.loop = loop
        self.binding = binding
        self.bytes_in = 0
        self.bytes_out = 0
        self._listener = listener
        self._flows: dict[tuple[Any, bytes], Flow] = {}
        self._sweeping = False
        self._upstream = (binding.container_ip, binding.container_port)
        six = listener.family == socket.AF_INET6
        self._level, self._kind = (socket.IPPROTO_IPV6, IPV6_PKTINFO) if six else (socket.IPPROTO_IP, IP_PKTINFO)
        listener.setblocking(False)
        listener.setsockopt(self._level, IPV6_RECVPKTINFO if six else IP_PKTINFO, 1)
        loop.add(listener.fileno(), IN, self._receive)

    @property
    def connections(self) -> int:
        return len(self._flows)

    def close(self) -> None:
        """Forward nothing more, in either direction."""
        if self._listener.fileno() >= 0:
            self.loop.remove(self._listener.fileno())
            self._listener.close()
        for key in list(self._flows):
            self.forget(key)

    def _receive(self, events: int) -> None:
        for _ in range(BURST):
            try:
                count, ancillary, _, client = self._listener.recvmsg_into([_buffer], 64)
            except OSError:
                return  # nothing more, or a client's ICMP error that is nobody's business
            asked = next((data for level, kind, data in ancillary if (level, kind) == (self._level, self._kind)), b"")
            key = (client, asked)
            flow = self._flows.get(key) or self._open(key)
            if flow:
                self.bytes_in += count
                flow.send(_buffer[:count])

    def _open(self, key: tuple[Any, bytes]) -> "Flow | None":
        try:
            flow = Flow(self, key, self._upstream)
        except OSError as error:
            if error.errno not in OUT_OF_DESCRIPTORS or not self._flows:
                report(f"{self.binding}: {error.strerror}")
                return None
            self.forget(min(self._flows, key=lambda each: self._flows[each].used))
            return self._open(key)
        self._flows[key] = flow
        if not self._sweeping:
            self._sweeping = True
            self.loop.later(SWEEP_SECONDS, self._sweep)
        return flow

    def _sweep(self) -> None:
        horizon = time.monotonic() - FLOW_SECONDS
        for key in [key for key, flow in self._flows.items() if flow.used < horizon]:
            self.forget(key)
        self._sweeping = bool(self._flows)
        if self._sweeping:
            self.loop.later(SWEEP_SECONDS, self._sweep)

    def forget(self, key: tuple[Any, bytes]) -> None:
        self._flows.pop(key).close()

    def answer(self, key: tuple[Any, bytes], data: memoryview) -> None:
        """Send to the client of a flow, from the address it asked."""
        client, asked = key
        ancillary = [(self._level, self._kind, reply_source(self._level, asked))] if asked else []
        try:
            self._listener.sendmsg([data], ancillary, 0, client)
            self.bytes_out += len(data)
        except OSError:
            pass  # a datagram may be lost


def reply_source(level: int, asked: bytes) -> bytes:
    """The PKTINFO that makes a reply leave from the address that `asked`, the PKTINFO of a request, was sent to."""
    if level == socket.IPPROTO_IPV6:
        link_local = asked[0] == 0xFE and asked[1] & 0xC0 == 0x80
        return asked if link_local else asked[:16] + bytes(4)
    return bytes(4) + asked[4:8] + bytes(4)  # struct in_pktinfo: interface, local address, address in the header


class Flow:
    """One client's socket towards the container."""

    __slots__ = ("_forward", "_key", "_socket", "used")

    def __init__(self, forward: Forward, key: tuple[Any, bytes], upstream: tuple[str, int]) -> None:
        self._forward = forward
        self._key = key
        self.used = time.monotonic()
        family, _ = linux.sockaddr(*upstream)
        self._socket = socket.socket(family, socket.SOCK_DGRAM | linux.SOCK_FLAGS)
        try:
            self._socket.connect(upstream)
        except OSError:
            self._socket.close()
            raise
        forward.loop.add(self._socket.fileno(), IN, self._receive)

    def send(self, data: memoryview) -> None:
        self.used = time.monotonic()
        try:
            self._socket.send(data)
        except ConnectionRefusedError:
            self._again(data)  # that was said of an earlier datagram
        except OSError:
            pass

    def _again(self, data: memoryview) -> None:
        try:
            self._socket.send(data)
        except OSError:
            pass

    def _receive(self, events: int) -> None:
        for _ in range(BURST):
            try:
                count = self._socket.recv_into(_buffer)
            except OSError:
                return
            self.used = time.monotonic()
            self._forward.answer(self._key, _buffer[:count])

    def close(self) -> None:
        self._forward.loop.remove(self._socket.fileno())
        self._socket.close()
