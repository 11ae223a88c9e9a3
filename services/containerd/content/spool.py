"""Writes an ingest in one thread and hashes it in another: what lies in files goes in without passing through here."""

import errno
import os
import threading
from queue import SimpleQueue
from types import TracebackType
from typing import Final

from services.containerd import storage
from services.containerd.content.ingest import Ingest

_SLICE: Final = 16 << 20
"""Bytes that the kernel copies at once; then the hash may follow."""
_CHUNK: Final = 1 << 20
_NO_COPY: Final = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class Spool:
    """A context around the writing; once it is left without an error, the ingest knows size and digest."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._end = ingest.offset
        self._ends: SimpleQueue[int | None] = SimpleQueue()
        self._failure: BaseException | None = None
        self._copies = True
        self._thread = threading.Thread(target=self._hash, daemon=True)

    def __enter__(self) -> "Spool":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.put(None)
        self._thread.join()
        if kind is None and self._failure is not None:
            raise self._failure

    def write(self, data: bytes) -> None:
        with storage.translated(f"cannot write content of {self._ingest.row.ref}"):
            view = memoryview(data)
            while view:
                written = os.pwrite(self._ingest.file, view, self._end)
                self._end += written
                view = view[written:]
        self._ends.put(self._end)

    def copy(self, source: int, most: int) -> int:
        """Take up to `most` bytes of a file from its position; fewer, but for its end at least one."""
        with storage.translated(f"cannot write content of {self._ingest.row.ref}"):
            copied = self._copy(source, min(most, _SLICE))
        if copied < 0:
            data = os.read(source, min(most, _CHUNK))
            self.write(data)
            return len(data)
        self._end += copied
        self._ends.put(self._end)
        return copied

    def _copy(self, source: int, size: int) -> int:
        """Bytes copied by the kernel, -1 where it cannot."""
        if not self._copies:
            return -1
        try:
            return os.copy_file_range(source, self._ingest.file, size, offset_dst=self._end)
        except OSError as error:
            if error.errno not in _NO_COPY:
                raise
            self._copies = False
            return -1

    def _hash(self) -> None:
        try:
            while (end := self._ends.get()) is not None:
                self._ingest.follow(end)
        except BaseException as error:  # raised in the thread that writes
            self._failure = error
