"""One blob on its way in: a file that grows, a running hash, and the moment it becomes visible.

The store opens an ingest and hands itself along for the commit; a ref has one writer at a time.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from protos import errdefs
from services.containerd import storage, threads
from services.containerd.metadata.content import IngestRow

INLINE: Final = 64 << 10
"""Writes up to this size are done at once; larger ones in a thread."""
_REHASH: Final = 1 << 20


class Publisher(Protocol):
    """What an ingest needs of the store it goes into."""

    def has(self, namespace: str, digest: str) -> bool: ...

    def claim(self, namespace: str, digest: str, lease: str) -> bool: ...

    def publish(self, ingest: "Ingest", digest: str, labels: dict[str, str]) -> None:
        """Move the synced file to its place and make it visible."""
        ...

    def abandon(self, ingest: "Ingest") -> None:
        """Forget the ingest and its file."""
        ...


class Ingest:
    def __init__(self, store: Publisher, row: IngestRow, path: Path, lease: str, release: Callable[[], None]) -> None:
        self.row = row
        self.path = path
        self.lease = lease
        self.offset = 0
        self._store = store
        self._release: Callable[[], None] | None = release
        self._hash = hashlib.sha256()
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def resume(self) -> None:
        """Go on after what the file holds: hash it again. Blocks; call it in a thread."""
        self.follow(os.fstat(self.file).st_size)

    def follow(self, end: int) -> None:
        """Take in what another wrote into the file up to `end`. Blocks."""
        while self.offset < end and (chunk := os.pread(self.file, min(_REHASH, end - self.offset), self.offset)):
            self._hash.update(chunk)
            self.offset += len(chunk)
        if self.offset < end:
            raise errdefs.OutOfRange(f"the file of {self.row.ref} has {self.offset} bytes, not {end}")

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    @property
    def updated(self) -> int:
        """Time of the last write, in nanoseconds."""
        return os.fstat(self.file).st_mtime_ns

    def append(self, data: bytes | memoryview) -> None:
        """Write at the end. Blocks."""
        view = memoryview(data)
        with storage.translated(f"cannot write content of {self.row.ref}"):
            while view:
                written = os.pwrite(self.file, view, self.offset)
                self._hash.update(view[:written])
                self.offset += written
                view = view[written:]

    async def write(self, data: bytes) -> None:
        if len(data) <= INLINE:
            self.append(data)
        else:
            await threads.run(self.append, data)

    def restart(self) -> None:
        """Throw away what was written."""
        os.ftruncate(self.file, 0)
        self.offset = 0
        self._hash = hashlib.sha256()

    async def commit(self, size: int, expected: str, labels: dict[str, str]) -> str:
        """Verify, sync, publish; the blob's digest. AlreadyExists ends the ingest too, other failures leave it."""
        if os.fstat(self.file).st_size != self.offset:
            os.ftruncate(self.file, self.offset)  # written into the file by another, and never told
        digest = self.verify(size, expected)
        if not self._store.has(self.row.namespace, digest):
            with storage.translated(f"cannot sync content of {self.row.ref}"):
                await threads.run(os.fsync, self.file)
        if self._store.claim(self.row.namespace, digest, self.lease):
            self._store.abandon(self)
            raise errdefs.AlreadyExists(f"content {digest}: already exists")
        os.fchmod(self.file, 0o444)
        self._store.publish(self, digest, labels)
        self.close()
        return digest

    def verify(self, size: int, expected: str) -> str:
        """The digest, once size and digest are what the caller said, where it said any."""
        if size > 0 and size != self.offset:
            raise errdefs.FailedPrecondition(f'"{self.row.ref}" failed size validation: {self.offset} != {size}')
        digest = self.digest
        if expected and digest != expected:
            raise errdefs.FailedPrecondition(f"unexpected commit digest {digest}, expected {expected}")
        return digest

    def close(self) -> None:
        """Give the ref back; what was written stays for the next writer."""
        if self._release is not None:
            os.close(self.file)
            self._release()
            self._release = None
