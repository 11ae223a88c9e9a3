"""The stream owner's socket: one connection carries one Request of streams.v1, a client's socket beside it perhaps."""

import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from protos.errdefs import InvalidArgument
from protos.streams.v1 import streams_pb2
from services.shim.loop import Loop

_PATH_LIMIT: Final = 107
_MESSAGE_LIMIT: Final = 1 << 20


class Connection:
    """A caller; it may be gone without that ending what it asked for."""

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self._loop, self._socket = loop, sock

    def reply(self, message: streams_pb2.Reply, last: bool) -> None:
        with suppress(OSError):
            self._socket.send(message.SerializeToString(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        if last:
            self.close()

    def fail(self, text: str) -> None:
        self.reply(streams_pb2.Reply(error=text), last=True)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove(self._socket.fileno())
            self._socket.close()


Serve = Callable[[streams_pb2.Request, list[int], Connection], None]


class Control:
    """`serve` gets each request with the descriptors that came with it, which are its to close."""

    def __init__(self, loop: Loop, path: str, serve: Serve) -> None:
        if len(os.fsencode(path)) > _PATH_LIMIT:
            raise InvalidArgument(f"socket path {path} is longer than {_PATH_LIMIT} bytes: choose a shorter exec root")
        self._loop, self._path, self._serve = loop, path, serve
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        Path(path).unlink(missing_ok=True)
        try:
            self._socket.bind(path)
            Path(path).chmod(0o600)
            self._socket.listen(64)
        except OSError as error:
            self._socket.close()
            raise InvalidArgument(f"socket {path} cannot be made: {error.strerror}") from error
        self._socket.setblocking(False)
        loop.add_reader(self._socket.fileno(), self._accept)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove(self._socket.fileno())
            self._socket.close()
            Path(self._path).unlink(missing_ok=True)

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):
            sock, _ = self._socket.accept()
            _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if uid not in (0, os.geteuid()):
                sock.close()
                return
            connection = Connection(self._loop, sock)
            self._loop.add_reader(sock.fileno(), lambda: self._receive(sock, connection))

    def _receive(self, sock: socket.socket, connection: Connection) -> None:
        try:
            data, descriptors, flags, _ = socket.recv_fds(
                sock, _MESSAGE_LIMIT, 4, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            connection.close()
            return
        if not data:
            connection.close()
            return
        self._loop.remove(sock.fileno())
        request = streams_pb2.Request()
        try:
            request.ParseFromString(data)
        except DecodeError:
            flags |= socket.MSG_TRUNC
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            for fd in descriptors:
                os.close(fd)
            connection.fail("malformed request")
            return
        self._serve(request, list(descriptors), connection)
