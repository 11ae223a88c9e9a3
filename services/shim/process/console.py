"""The socket on which a runtime hands over the master of a process's terminal."""

import os
import socket
from contextlib import suppress
from pathlib import Path

from services.shim.loop import Future, Loop


class Console:
    """Listens at `address` until the master has come; `master` is then the caller's to close.

    The socket is named through our descriptor of the directory, as a bundle's path is longer than a socket's may be.
    """

    def __init__(self, loop: Loop, directory: Path) -> None:
        self.master: Future[int] = Future()
        self._loop = loop
        self._directory = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._name = f"console-{os.urandom(4).hex()}"
        self.address = f"/proc/{os.getpid()}/fd/{self._directory}/{self._name}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection: socket.socket | None = None
        self._socket.bind(self.address)
        self._socket.setblocking(False)
        self._socket.listen(1)
        loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            self._connection, _ = self._socket.accept()
            self._connection.setblocking(False)
            self._loop.remove(self._socket.fileno())
            self._loop.add_reader(self._connection.fileno(), self._receive)

    def _receive(self) -> None:
        if self._connection is None:
            return
        with suppress(BlockingIOError):
            _, descriptors, _, _ = socket.recv_fds(self._connection, 4096, 1, socket.MSG_CMSG_CLOEXEC)
            self._loop.remove(self._connection.fileno())
            if descriptors:
                os.set_blocking(descriptors[0], False)
                self.master.set(descriptors[0])
            else:
                self.master.fail(ConnectionError("the runtime sent no terminal"))

    def close(self) -> None:
        for each in (self._socket, self._connection):
            if each is not None:
                self._loop.remove(each.fileno())
                each.close()
        with suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._directory)
        os.close(self._directory)
