"""The bytes of a file on their way between a file system and an archive."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from protos import tar
from services.dockerd.beneath import closing

CHUNK: Final = 256 << 10


class Content(Protocol):
    """What follows a regular file's header; to be taken once, before the next entry is asked for."""

    def chunks(self) -> Iterator[bytes]: ...

    def copy_to(self, fd: int) -> None: ...


@dataclass(slots=True)
class Entry:
    """A header, whose name is relative to where the archive is applied, and the content of a regular file."""

    header: tar.Header
    content: Content | None = None


@dataclass(slots=True)
class FileContent:
    """`size` bytes of a file that was found (O_PATH) and is opened only now; what it lacks by then reads as zeros."""

    place: int
    size: int

    def chunks(self) -> Iterator[bytes]:
        left = self.size
        with closing(self._open()) as file:
            while left:
                piece = os.read(file, min(CHUNK, left)) or bytes(min(CHUNK, left))
                left -= len(piece)
                yield piece

    def copy_to(self, fd: int) -> None:
        left = self.size
        with closing(self._open()) as file:
            while left:
                sent = os.sendfile(fd, file, None, min(left, 1 << 30))
                if sent == 0:
                    break
                left -= sent

    def _open(self) -> int:
        return os.open(f"/proc/self/fd/{self.place}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
