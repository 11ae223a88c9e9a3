"""What a container has logged, read back for a client that attaches with `logs`: oldest file first, then the current.

It follows the log across turn-overs, so that it can catch up with a container that goes on writing.
"""

import os
from contextlib import suppress
from typing import BinaryIO, Final, Protocol, cast

from services.shim.logger.driver import Record
from services.shim.logger.options import Options

_CHUNK: Final = 64 * 1024


class Layout(Protocol):
    def decode(self, data: bytes) -> tuple[list[Record], bytes]: ...


class Source(Protocol):
    path: str
    options: Options
    generation: int

    @property
    def layout(self) -> Layout: ...


class FileReplay:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._generation = source.generation - source.options.max_files  # one before the oldest
        self._file: BinaryIO | None = None
        self._torn = b""

    def read(self) -> list[Record] | None:
        while True:
            if self._file is not None:
                chunk = self._file.read(_CHUNK)
                if chunk:
                    return self._records(chunk)
            if self._generation >= self._source.generation:
                return None
            self._next()

    def _records(self, chunk: bytes) -> list[Record]:
        records, self._torn = self._source.layout.decode(self._torn + chunk)
        return records

    def _next(self) -> None:
        self.close()
        oldest = self._source.generation - self._source.options.max_files + 1
        self._generation = max(self._generation + 1, oldest)
        number = self._source.generation - self._generation
        name = f"{self._source.path}.{number}" if number else self._source.path
        with suppress(FileNotFoundError):
            self._file = _open(name)

    def close(self) -> None:
        self._torn = b""
        if self._file is not None:
            self._file.close()
            self._file = None


def _open(name: str) -> BinaryIO:
    with suppress(FileNotFoundError):
        return os.fdopen(os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb", buffering=0)
    import gzip  # only where a log was compressed

    return cast("BinaryIO", gzip.open(name + ".gz", "rb"))
