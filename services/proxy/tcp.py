"""Forwarding of one TCP port: a connection is two Ends, each reading for the other.

Theory of operation. An End owns a socket and the stream read from it on the way to its peer's socket. It reads only
while nothing of that stream waits to be written, so a slow reader slows the writer and memory stays flat. Reading
begins with recv/send through one shared buffer, best for small messages; a stream that fills the buffer twice in a row
goes on by splice through a pipe, and returns when it becomes small again. End of file travels as shutdown, each
direction by itself; an error travels as a reset, so a refused connection looks refused to the client. Nothing here
ever times out.
"""

import errno
import fcntl
import os
import socket
from typing import Final

from protos.binding import Binding
from services.proxy import linux
from services.proxy.loop import IN, OUT, Loop, report

BUFFER: Final = 1 << 16
PIPE: Final = 1 << 20
SPLICE_FLAGS: Final = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
SMALL_READS: Final = 16
"""So many reads in a row below BUFFER end splicing."""
BURST: Final = 16
"""Connections accepted in one turn of the loop."""
SPARE_PIPES: Final = 8
OUT_OF_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_buffer: Final = memoryview(bytearray(BUFFER))
_vector: Final = (_buffer,)
_spare: Final[list[tuple[int, int]]] = []
_NOTHING: Final = memoryview(b"")


class Forward:
    """The listener of a binding, and the count of what passed through it."""

    level = socket.IPPROTO_TCP
    nodelay = socket.TCP_NODELAY
    splices = True

    def __init__(self, loop: Loop, binding: Binding, listener: socket.socket) -> None:
        self.loop = loop
        self.binding = binding
        self.connections = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self._listener = listener
        self._family, self._address = linux.sockaddr(binding.container_ip, binding.container_port)
        listener.setblocking(False)
        # What a listener is set to, its connections inherit.
        listener.setsockopt(self.level, self.nodelay, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        loop.add(listener.fileno(), IN, self._accept)

    def close(self) -> None:
        """Accept no more; connections go on."""
        if self._listener.fileno() >= 0:
            self.loop.remove(self._listener.fileno())
            self._listener.close()

    def _accept(self, events: int) -> None:
        for _ in range(BURST):
            try:
                client = linux.accept(self._listener.fileno())
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in OUT_OF_DESCRIPTORS:
                    self._rest()
                    return
                continue  # the client gave up, or sent something odd: accept(2), "error handling"
            self._connect(client)

    def _rest(self) -> None:
        """Leave clients in the backlog for a moment: there are no descriptors for them."""
        report(f"{self.binding}: out of descriptors, accepting no connections for a moment")
        self.loop.modify(self._listener.fileno(), 0)
        self.loop.later(0.1, self._resume)

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self.loop.modify(self._listener.fileno(), IN)

    def _connect(self, client: int) -> None:
        try:
            upstream = linux.connect(self._family, self.level, self._address)
        except OSError as error:
            report(f"{self.binding}: {error.strerror}")
            linux.reset(client)
            return
        linux.set_nodelay(upstream, self.level, self.nodelay)
        self.connections += 1
        inner, outer = End(self, upstream, inbound=False), End(self, client, inbound=True)
        inner.peer, outer.peer = outer, inner
        inner.watch(IN)
        outer.watch(IN)


class End:
    """A socket, and the stream read from it."""

    __slots__ = (
        "_done", "_ended", "_events", "_forward", "_full", "_inbound", "_known", "_pending", "_pipe", "_piped",
        "_small", "fd", "peer",
    )  # fmt: skip

    peer: "End"

    def __init__(self, forward: Forward, fd: int, inbound: bool) -> None:
        self.fd = fd
        self._forward = forward
        self._inbound = inbound
        """Whether this is the client's socket."""
        self._events = 0
        self._known = inbound
        """Whether the socket is known to be connected; the upstream one is used from its first moment."""
        self._pending = _NOTHING
        self._pipe: tuple[int, int] | None = None
        self._piped = 0
        self._full = False
        """The last read filled the buffer."""
        self._small = 0
        self._ended = False
        """End of file was read."""
        self._done = False
        """Nothing more will be written to the peer: it was told of the end, or does not listen."""

    def watch(self, events: int) -> None:
        """Wait for these alone. An End that waits for nothing leaves the epoll, which would report hang-ups forever."""
        if events == self._events:
            return
        if not events:
            self._forward.loop.remove(self.fd)
        elif self._events:
            self._forward.loop.modify(self.fd, events)
        else:
            self._forward.loop.add(self.fd, events, self._handle)
        self._events = events

    def _handle(self, events: int) -> None:
        if events == IN:
            self._read()
            return
        if events & OUT or not self._events & IN:
            if not self._known and events & ~(IN | OUT):
                self._abort()
                return
            self._known = True
            self.peer._flush()
        if events & ~OUT and self._events & IN:
            self._read()

    # the stream read from this socket

    def _read(self) -> None:
        if self._pipe:
            self._read_spliced(self._pipe)
            return
        try:
            count = os.readv(self.fd, _vector)
        except BlockingIOError:
            return
        except OSError:
            self._abort()
            return
        if not count:
            self._end()
            return
        self._known = True
        self._count(count)
        self._write(_buffer[:count])
        if count == BUFFER and self._full:
            self._start_splicing()
        self._full = count == BUFFER

    def _write(self, data: memoryview) -> None:
        peer = self.peer
        try:
            sent = os.write(peer.fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop()
            return
        if sent:
            peer._known = True
        if sent < len(data):
            self._pending = memoryview(bytes(data[sent:]))
            self._pause()

    def _flush(self) -> None:
        """The peer can be written to."""
        if self._done:
            self.peer.watch(self.peer._events & ~OUT)
            return
        if self._piped and self._pipe:
            self._empty_pipe(self._pipe)
        elif self._pending:
            data, self._pending = self._pending, _NOTHING
            self._write(data)
        if self.fd < 0 or self._done or self._pending or self._piped:
            return
        self.peer.watch(self.peer._events & ~OUT)
        if self._ended:
            self._end()
        else:
            self.watch(self._events | IN)

    def _pause(self) -> None:
        self.watch(self._events & ~IN)
        self.peer.watch(self.peer._events | OUT)

    def _end(self) -> None:
        """Pass end of file on, once all before it is written and the peer is connected."""
        self._ended = True
        if self._pending or self._piped or not self.peer._known:
            self._pause()
            return
        linux.shut_write(self.peer.fd)
        self._finish()

    def _drop(self) -> None:
        """The peer takes no more; what it still sends may pass."""
        self._pending, self._piped = _NOTHING, 0
        self.peer.watch(self.peer._events & ~OUT)
        self._finish()

    def _finish(self) -> None:
        self._done = True
        self.watch(self._events & ~IN)
        if self.peer._done:
            self._close()
        elif self._pipe:
            self._stop_splicing()

    # splice

    def _start_splicing(self) -> None:
        if self._forward.splices and not self._done and self.fd >= 0:
            self._pipe = _spare.pop() if _spare else _make_pipe()
            self._small = 0

    def _stop_splicing(self) -> None:
        if self._pipe:
            _release_pipe(self._pipe, clean=not self._piped)
        self._pipe, self._full = None, False

    def _read_spliced(self, pipe: tuple[int, int]) -> None:
        try:
            count = os.splice(self.fd, pipe[1], PIPE, flags=SPLICE_FLAGS)
        except BlockingIOError:
            return
        except OSError:
            self._abort()
            return
        if not count:
            self._end()
            return
        self._count(count)
        self._piped = count
        self._empty_pipe(pipe)
        self._small = 0 if count >= BUFFER else self._small + 1
        if self._small >= SMALL_READS and not self._piped:
            self._stop_splicing()

    def _empty_pipe(self, pipe: tuple[int, int]) -> None:
        try:
            self._piped -= os.splice(pipe[0], self.peer.fd, self._piped, flags=SPLICE_FLAGS)
        except BlockingIOError:
            pass
        except OSError:
            _release_pipe(pipe, clean=False)
            self._pipe = None
            self._drop()
            return
        if self._piped:
            self._pause()

    # the whole connection

    def _count(self, count: int) -> None:
        if self._inbound:
            self._forward.bytes_in += count
        else:
            self._forward.bytes_out += count

    def _abort(self) -> None:
        """Reset both sides."""
        self._close(abort=True)

    def _close(self, abort: bool = False) -> None:
        for end in (self, self.peer):
            end.watch(0)
            if abort:
                linux.reset(end.fd)
            else:
                os.close(end.fd)
            end._stop_splicing()
            end.fd = -1
            del end.peer  # a cycle
        self._forward.connections -= 1


def _make_pipe() -> tuple[int, int] | None:
    try:
        pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None  # no descriptors left: recv and send go on
    try:
        fcntl.fcntl(pipe[0], fcntl.F_SETPIPE_SZ, PIPE)
    except OSError:
        pass  # beyond the user's limit: a small one works too
    return pipe


def _release_pipe(pipe: tuple[int, int], *, clean: bool) -> None:
    if clean and len(_spare) < SPARE_PIPES:
        _spare.append(pipe)
        return
    for descriptor in pipe:
        os.close(descriptor)
