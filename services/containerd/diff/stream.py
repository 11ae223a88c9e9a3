"""One pass over a layer: a thread reads and inflates, a thread hashes, the caller unpacks what comes out.

Chunks wait in queues of bounded length, so memory stays at a few megabytes whatever the layer's size. What is not
compressed needs no thread: it was hashed when it came in, and the kernel copies the bytes of large files.
"""

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Final

from protos import errdefs
from services.containerd.diff.compression import CHUNK, inflate, sniff

_AHEAD: Final = 8
"""Chunks that may wait."""
FREE_SIZE: Final = 1 << 30
MAX_RATIO: Final = 1100
"""A layer of more than FREE_SIZE bytes may not be more than so many times its compressed size: gzip cannot be."""


_SLICE: Final = 32 << 20
"""Bytes that the kernel copies before it is asked again whether the caller still wants them."""
_NO_COPY: Final = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class LayerStream:
    """Iterate over the plain chunks; then `digest` and `size` are those of the whole plain layer."""

    def __init__(self, descriptor: int, size: int, digest: str) -> None:
        self.size = 0
        self._descriptor = descriptor
        self._compressed = size
        self._known = digest
        self._hash = hashlib.sha256()
        self._room = threading.Semaphore(_AHEAD)
        self._unhashed = threading.Semaphore(_AHEAD)
        self._chunks: SimpleQueue[bytes | Exception | None] = SimpleQueue()
        self._hashing: SimpleQueue[bytes | None] = SimpleQueue()
        self._stopped = False
        self._at = 0
        head = self._read(CHUNK)
        self._kind = sniff(head)
        self._head = head
        self._threads: list[threading.Thread] = []
        if self._kind:
            self._threads.append(threading.Thread(target=self._inflate, args=(head,), daemon=True))
            self._threads.append(threading.Thread(target=self._digest, daemon=True))
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[bytes]:
        return self._inflated() if self._kind else self._stored()

    def _stored(self) -> Iterator[bytes]:
        chunk = self._head
        while chunk:
            self._check()
            self.size += len(chunk)
            yield chunk
            chunk = self._read(CHUNK)

    def copy(self, target: int, most: int) -> int:
        """Have the kernel write up to `most` of the bytes that would come next to `target`; 0 where it cannot."""
        self._check()
        if self._kind:
            return 0
        try:
            moved = os.copy_file_range(self._descriptor, target, min(most, _SLICE), offset_src=self._at)
        except OSError as error:
            if error.errno in _NO_COPY:
                return 0
            raise
        self._at += moved
        self.size += moved
        return moved

    def _check(self) -> None:
        if self._stopped:
            raise errdefs.Canceled("unpacking was cancelled")

    def _inflated(self) -> Iterator[bytes]:
        while True:
            chunk = self._chunks.get()
            self._check()
            if chunk is None:
                return
            if isinstance(chunk, Exception):
                raise errdefs.InvalidArgument(f"layer cannot be decompressed: {chunk}") from chunk
            self._room.release()
            self.size += len(chunk)
            if self.size > FREE_SIZE and self.size > MAX_RATIO * self._compressed:
                raise errdefs.ResourceExhausted(
                    f"layer grows beyond {MAX_RATIO} times its {self._compressed} bytes; it is refused as a bomb"
                )
            yield chunk

    @property
    def digest(self) -> str:
        """Of the plain layer, once iteration is over. What is not compressed was hashed when it came in."""
        if not self._kind:
            return self._known
        self._threads[1].join()
        return f"sha256:{self._hash.hexdigest()}"

    def stop(self) -> None:
        """Let whoever iterates fail with Canceled, and the threads end soon."""
        self._stopped = True
        self._room.release(_AHEAD)
        self._unhashed.release(_AHEAD)

    def close(self) -> None:
        """End the threads, wherever they are; the descriptor is the caller's again."""
        self.stop()
        for thread in self._threads:
            thread.join()

    def _read(self, size: int) -> bytes:
        data = os.pread(self._descriptor, size, self._at)
        self._at += len(data)
        return data

    def _inflate(self, head: bytes) -> None:
        try:
            for chunk in inflate(self._kind, head, self._read):
                self._room.acquire()
                self._unhashed.acquire()
                if self._stopped:
                    break
                self._chunks.put(chunk)
                self._hashing.put(chunk)
            self._chunks.put(None)
        except Exception as error:  # whatever a decompressor throws is told to whoever reads
            self._chunks.put(error)
        finally:
            self._hashing.put(None)

    def _digest(self) -> None:
        while (chunk := self._hashing.get()) is not None:
            self._hash.update(chunk)
            self._unhashed.release()
