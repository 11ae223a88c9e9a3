"""The `journald` driver: systemd's native protocol, one datagram a line, with Docker's fields.

A datagram that is too long for the socket goes as a sealed memory file. A journal that does not keep up makes us wait.
"""

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from services.shim.logger.jsonline import stamp
from services.shim.logger.packet import Entry

SOCKET: Final = "/run/systemd/journal/socket"
_LENGTH: Final = struct.Struct("<Q")
_PRIORITIES: Final = {"stdout": b"6", "stderr": b"3"}
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class Journald:
    """`fields` stand beside each line; `epoch` and a number tell the lines of one start of the container apart."""

    def __init__(self, fields: Mapping[str, str], path: str = SOCKET) -> None:
        self.reason = ""
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._fields = b"".join(field(key, value.encode()) for key, value in sorted(fields.items()))
        self._fields += field("CONTAINER_LOG_EPOCH", os.urandom(32).hex().encode())
        self._ordinal = 0

    def open(self) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
                probe.connect(self._path)
        except OSError as error:
            raise OSError("journald is not enabled on this host") from error

    def send(self, entries: Sequence[Entry]) -> int:
        lost = 0
        for entry in entries:
            self._ordinal += 1
            try:
                self._put(message(entry, self._ordinal) + self._fields)
            except OSError as error:
                self.reason = f"{self._path}: {(error.strerror or str(error)).lower()}"
                lost += 1
        return lost

    def close(self) -> None:
        self._socket.close()

    def _put(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._path)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._put_file(data)

    def _put_file(self, data: bytes) -> None:
        fd = os.memfd_create("journal", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(data)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))
            self._socket.sendmsg([b""], [rights], 0, self._path)
        finally:
            with suppress(OSError):
                os.close(fd)


def message(entry: Entry, ordinal: int) -> bytes:
    """What is one entry's alone."""
    parts = [
        field("MESSAGE", entry.line),
        b"PRIORITY=%s\n" % _PRIORITIES[entry.stream],
        b"SYSLOG_TIMESTAMP=%s\nCONTAINER_LOG_ORDINAL=%d\n" % (stamp(entry.time), ordinal),
    ]
    if piece := entry.piece:
        parts.append(
            b"CONTAINER_PARTIAL_ID=%s\nCONTAINER_PARTIAL_ORDINAL=%d\nCONTAINER_PARTIAL_LAST=%s\n"
            % (piece.id.encode(), piece.ordinal, b"true" if piece.last else b"false")
        )
        if not piece.last:
            parts.append(b"CONTAINER_PARTIAL_MESSAGE=true\n")
    return b"".join(parts)


def field(name: str, value: bytes) -> bytes:
    """A value with a newline is preceded by its length."""
    if b"\n" in value:
        return b"%s\n%s%s\n" % (name.encode(), _LENGTH.pack(len(value)), value)
    return b"%s=%s\n" % (name.encode(), value)
