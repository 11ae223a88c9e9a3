"""A gRPC server on the shim's loop: one listener, any number of clients. What it serves is in api.py."""

import os
import socket
import struct
from collections.abc import Callable, Mapping

from services.shim.connection import Connection, Method
from services.shim.loop import Loop


class Server:
    """Accepts on `listener`, answers calls of `methods` (by path, `/package.Service/Method`), tells of each answer."""

    def __init__(
        self, loop: Loop, listener: socket.socket, methods: Mapping[str, Method], answered: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._methods = methods
        self._answered = answered
        self.connections: set[Connection] = set()
        listener.setblocking(False)
        loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Take no more connections and calls; connections end as their last call is answered."""
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for connection in list(self.connections):
            connection.go_away()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        if _uid_of(sock) not in (0, os.geteuid()):
            sock.close()
            return
        self.adopt(sock)

    def adopt(self, sock: socket.socket) -> None:
        """Serve a connected socket."""
        self.connections.add(Connection(self._loop, sock, self._methods, self._answered, self.connections.discard))


def _uid_of(sock: socket.socket) -> int:
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)
