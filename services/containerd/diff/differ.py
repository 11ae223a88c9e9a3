"""Layers between content and snapshots: unpack a blob into mounts, pack the difference of mounts into a blob."""

import functools
import hashlib
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protos import errdefs
from protos.containerd.services.content.v1.content_pb2 import Info
from protos.containerd.types.descriptor_pb2 import Descriptor
from protos.containerd.types.mount_pb2 import Mount
from protos.idmap import Owners
from protos.snapshots import LAYER_SIZE
from services.containerd import threads
from services.containerd.content.ingest import Ingest
from services.containerd.content.spool import Spool
from services.containerd.content.store import ContentStore
from services.containerd.diff import compare
from services.containerd.diff.compare import Contents, Piece
from services.containerd.diff.compression import compressor
from services.containerd.diff.layer import Layer
from services.containerd.diff.mounted import branches, lower, mounted, writable
from services.containerd.diff.stream import LayerStream
from services.containerd.diff.unpack import unpack
from services.containerd.diff.whiteout import Form
from services.containerd.diff.worker import Done, Task
from services.containerd.diff.workers import Workers

PLAIN: Final = "application/vnd.oci.image.layer.v1.tar"
GZIP: Final = PLAIN + "+gzip"
_FAMILIES: Final = (
    "application/vnd.oci.image.layer.",
    "application/vnd.docker.image.rootfs.",
    "application/vnd.docker.container.image.rootfs.",
)
_OUTPUT: Final = {
    PLAIN: "", GZIP: "gzip", PLAIN + "+zstd": "zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "", "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
}
UNCOMPRESSED: Final = "containerd.io/uncompressed"
_BATCH: Final = 512 << 10
_SMALL: Final = 8 << 20
"""Bytes of a blob that is unpacked in less time than a process takes to start."""


@dataclass(frozen=True, slots=True)
class Comparison:
    left: Sequence[Mount]
    right: Sequence[Mount]
    media_type: str
    ref: str
    labels: dict[str, str]


class Differ:
    def __init__(
        self, content: ContentStore, layered: Mapping[Path, Form], scratch: Path, owners: Owners | None = None
    ) -> None:
        self._content = content
        self._layered = layered
        """Roots of the drivers whose snapshots hold one layer each, with the form of whiteouts there."""
        self._scratch = scratch
        """Where trees are mounted that cannot be used in place."""
        self._owners = owners
        self._workers = Workers(scratch.parent)
        self.close = self._workers.close

    async def apply(self, namespace: str, layer: Descriptor, mounts: Sequence[Mount], *, sync: bool) -> Descriptor:
        """Unpack a layer; the descriptor of the plain archive that was applied, with the size of its files."""
        if not layer.media_type.startswith(_FAMILIES):
            raise errdefs.Unimplemented(f"media type {layer.media_type!r} is not a layer this differ can apply")
        blob, info = self._content.open_blob(namespace, layer.digest)
        try:
            async with self._place(mounts) as place:
                task = Task(info.digest, info.size, place, self._owners, sync)
                chosen = self._workers.unpack if info.size > _SMALL else _unpack_here
                done = await chosen(task, blob)
            annotations = {LAYER_SIZE: str(done.files)}
            return Descriptor(media_type=PLAIN, digest=done.digest, size=done.size, annotations=annotations)
        finally:
            os.close(blob)

    @asynccontextmanager
    async def _place(self, mounts: Sequence[Mount]) -> AsyncIterator[Layer]:
        """Where to unpack what is meant for these mounts."""
        place = writable(mounts, self._layered)
        if place is not None:
            yield place
            return
        if any("ro" in mount.options for mount in mounts) or not mounts:
            raise errdefs.InvalidArgument("a layer cannot be applied to read-only mounts")
        stack = ExitStack()
        try:
            yield Layer(await threads.run(stack.enter_context, mounted(mounts, self._scratch)))
        finally:
            await threads.run(stack.close)

    async def compare(self, namespace: str, wanted: Comparison, lease: str) -> Descriptor:
        """Pack what `right` has over `left` into a blob."""
        media_type = wanted.media_type or GZIP
        if media_type not in _OUTPUT:
            raise errdefs.Unimplemented(f"unsupported diff media type: {media_type}")
        ref = wanted.ref or f"diff-{time.time_ns()}-{os.urandom(4).hex()}"
        ingest = await self._content.writer(namespace, ref, 0, "", lease)
        try:
            ingest.restart()
            stopped = threading.Event()
            plain = await threads.run_stoppable(stopped.set, self._pack, ingest, wanted, _OUTPUT[media_type], stopped)
            labels = {**wanted.labels, UNCOMPRESSED: plain}
            digest, size = ingest.digest, ingest.offset
            try:
                await ingest.commit(0, "", labels)
            except errdefs.AlreadyExists:
                self._content.update(namespace, Info(digest=digest, labels=labels), [f"labels.{UNCOMPRESSED}"])
            return Descriptor(media_type=media_type, digest=digest, size=size)
        except BaseException:
            ingest.close()
            raise

    def _pack(self, ingest: Ingest, wanted: Comparison, kind: str, stopped: threading.Event) -> str:
        """Write the layer into the ingest, compressed as `kind` says; the digest of the plain one."""
        with self._layer(wanted) as pieces:
            if not kind:
                _store(_batches(pieces, stopped), ingest)
                return ingest.digest
            plain = hashlib.sha256()
            packed = compressor(kind)
            for batch in _batches(pieces, stopped):
                for data in (batch,) if isinstance(batch, bytes) else batch.pieces():
                    plain.update(data)
                    ingest.append(packed.compress(data))
        ingest.append(packed.flush())
        return f"sha256:{plain.hexdigest()}"

    @contextmanager
    def _layer(self, wanted: Comparison) -> Iterator[Iterator[Piece]]:
        """The pieces of the difference, while what they are read from is mounted."""
        upper = writable(wanted.right, self._layered)
        base = tuple(path for mount in wanted.left for path in lower(mount))
        if any(mount.type == "aufs" for mount in wanted.left):
            base = tuple(path for path, _ in branches(wanted.left))
        if upper is not None and upper.form is not Form.GONE and upper.parents == base:
            layer = compare.upper_layer if upper.form is Form.DEVICE else compare.branch_layer
            yield layer(upper.path, self._owners)
            return
        with mounted(wanted.right, self._scratch) as new:
            if not wanted.left:
                yield compare.tree_layer(None, new, self._owners)
                return
            with mounted(wanted.left, self._scratch) as old:
                yield compare.tree_layer(old, new, self._owners)


async def _unpack_here(task: Task, blob: int) -> Done:
    """In a thread of this process."""
    stream = LayerStream(blob, task.size, task.digest)
    try:
        work = functools.partial(unpack, stream, task.place, task.owners, sync=task.sync)
        files = await threads.run_stoppable(stream.stop, work)
    finally:
        await threads.run(stream.close)
    return Done(stream.digest, stream.size, files)


def _store(batches: Iterator[Piece], ingest: Ingest) -> None:
    with Spool(ingest) as spool:
        for batch in batches:
            if isinstance(batch, bytes):
                spool.write(batch)
                continue
            left = batch.size
            while left and (copied := spool.copy(batch.file, left)):
                left -= copied
            while left:
                zeros = bytes(min(left, _BATCH))
                spool.write(zeros)
                left -= len(zeros)


def _batches(pieces: Iterator[Piece], stopped: threading.Event) -> Iterator[Piece]:
    """Pieces joined to some size: each costs a call to the hash and to the compressor."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        if stopped.is_set():
            raise errdefs.Canceled("comparing was cancelled")
        large = isinstance(piece, Contents)
        if isinstance(piece, bytes):
            waiting.append(piece)
            size += len(piece)
        if waiting and (large or size >= _BATCH):
            yield b"".join(waiting)
            waiting, size = [], 0
        if large:
            yield piece
    if waiting:
        yield b"".join(waiting)
