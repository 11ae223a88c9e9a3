"""The control socket. Its gRPC server is loaded at the first byte that arrives, so that an idle proxy stays small."""

import os
import socket
import struct

from services.proxy.loop import IN, report
from services.proxy.proxy import Proxy


class Control:
    """Accepts whoever runs as root or as this process's user; a connection that says nothing costs nothing."""

    def __init__(self, proxy: Proxy, listener: socket.socket) -> None:
        self._proxy = proxy
        self._listener = listener
        listener.setblocking(False)
        proxy.loop.add(listener.fileno(), IN, self._accept)

    def _accept(self, events: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in (0, os.geteuid()):
            sock.close()
            return
        sock.setblocking(False)
        self._proxy.loop.add(sock.fileno(), IN, lambda events: self._first(sock))

    def _first(self, sock: socket.socket) -> None:
        """The client has spoken, or left."""
        self._proxy.loop.remove(sock.fileno())
        try:
            spoken = sock.recv(1, socket.MSG_PEEK)
        except OSError:
            spoken = b""
        if not spoken:
            sock.close()
            return
        try:
            from services.proxy import service  # h2 and protobuf: several megabytes
        except ImportError as error:  # an upgrade has removed what this proxy was started from
            sock.close()
            report(f"the control socket cannot be served any more, restart the container: {error}")
            return
        service.serve(self._proxy, sock)
