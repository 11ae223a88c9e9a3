"""Snapshots: the states of a file system, and the contract every storage driver keeps.

- A snapshot is *active* (made by `prepare`, writable), a *view* (made by `view`, read-only) or *committed*. Only an
  active one is committed, once; then it has a new name, never changes, and may be a parent. Only a committed one may.
- A key names one snapshot within a namespace and a driver, whatever its kind: taken is AlreadyExists.
- What is written through an active snapshot's mounts is seen through those of each descendant, and by no other.
  Writes never reach a parent. Mounts of a key stay the same as long as the snapshot lives, across restarts too.
- `remove` ends any snapshot that nothing builds on; else FailedPrecondition. Its space comes back soon, not at once:
  `cleanup` waits for that. Mounts made from it before go on to work, as an unlinked file does.
- `usage` is what a snapshot adds to its parent.
- Whoever dies half-way leaves nothing: a directory without a row is discarded at the next start.
"""

import asyncio
import logging

from protos import errdefs
from protos import snapshots as wire
from protos.containerd.services.snapshots.v1 import snapshots_pb2
from protos.containerd.services.snapshots.v1.snapshots_pb2 import Info
from protos.containerd.types.mount_pb2 import Mount
from services.containerd import storage, threads
from services.containerd.metadata.snapshots import Snapshot, SnapshotRows
from services.containerd.snapshots.driver import Driver

log = logging.getLogger("snapshots")


class Snapshotter:
    def __init__(self, rows: SnapshotRows, driver: Driver) -> None:
        self.name = driver.name
        self.driver = driver
        self._rows = rows
        self._sweeping = asyncio.Lock()
        self._sweeps: set[asyncio.Task[None]] = set()
        self.select = rows.select
        self.update = rows.update

    def open(self) -> None:
        """Before anything else: bring directories and rows together again."""
        self._rows.forget_unfinished()
        self.driver.open(self._rows.ids())

    async def prepare(self, namespace: str, key: str, parent: str, labels: dict[str, str], lease: str) -> list[Mount]:
        """A writable snapshot on top of a committed one, or of nothing; its mounts."""
        return await self._create(namespace, key, parent, snapshots_pb2.ACTIVE, labels, lease)

    async def view(self, namespace: str, key: str, parent: str, labels: dict[str, str], lease: str) -> list[Mount]:
        """A read-only snapshot of a committed one, or of nothing; its mounts."""
        return await self._create(namespace, key, parent, snapshots_pb2.VIEW, labels, lease)

    async def _create(
        self, namespace: str, key: str, parent: str, kind: int, labels: dict[str, str], lease: str
    ) -> list[Mount]:
        if not key:
            raise errdefs.InvalidArgument("snapshot key must not be empty")
        writable = kind == snapshots_pb2.ACTIVE
        size = _size(labels)
        number = 0
        try:
            with storage.translated(f"cannot make snapshot {key}"), self._rows.db.write():
                base = self._rows.committed_parent(namespace, parent)
                first = kind if self.driver.quick else snapshots_pb2.UNKNOWN
                number = self._rows.insert(namespace, key, base, first, labels, lease)
                parents = self._rows.ancestors(base)
                if self.driver.quick:
                    self.driver.make(number, parents, writable=writable, size=size)
            if not self.driver.quick:
                await self._make_slowly(number, parents, kind, size)
        except BaseException:
            if number:
                self.driver.discard(number)
            raise
        return self.driver.mounts(number, parents, writable=writable)

    async def _make_slowly(self, number: int, parents: list[int], kind: int, size: int) -> None:
        """Fill the directory of a row that nobody sees yet, but that keeps its parent from going."""
        try:
            with storage.translated("cannot copy the parent of a snapshot"):
                await threads.run(self.driver.make, number, parents, writable=kind == snapshots_pb2.ACTIVE, size=size)
        except BaseException:
            self._rows.forget(number)
            raise
        self._rows.finish(number, kind)

    def mounts(self, namespace: str, key: str) -> list[Mount]:
        """The mounts that `prepare` or `view` gave."""
        found = self._rows.get(namespace, key)
        if found.kind == snapshots_pb2.COMMITTED:
            raise errdefs.InvalidArgument(f"snapshot {key} is committed and has no mounts; view it: invalid argument")
        writable = found.kind == snapshots_pb2.ACTIVE
        return self.driver.mounts(found.id, self._rows.ancestors(found.parent), writable=writable)

    def stat(self, namespace: str, key: str) -> Info:
        """All that is known, the driver's own labels included."""
        found = self._rows.get(namespace, key)
        info = found.to_proto()
        info.labels.update(self.driver.labels(found.id))
        return info

    async def commit(
        self, namespace: str, key: str, name: str, labels: dict[str, str], lease: str, parent: str = ""
    ) -> None:
        """Make an active snapshot a committed one called `name`; with `parent`, on top of that one if it had none."""
        if not name:
            raise errdefs.InvalidArgument("snapshot name must not be empty")
        found = self._rows.get(namespace, key)
        if found.kind != snapshots_pb2.ACTIVE:
            raise errdefs.FailedPrecondition(f"snapshot {key} is not active: failed precondition")
        if parent and found.parent_key and parent != found.parent_key:
            raise errdefs.InvalidArgument(f"snapshot {key} builds on {found.parent_key}, not on {parent}")
        if self.driver.seals:
            await self._seal(namespace, found, name)
        base = found.parent
        rebased = bool(parent) and found.parent is None
        with self._rows.db.write():
            if rebased:
                base = self._rebase(namespace, found, parent)
            self._rows.commit(namespace, found, name, base, labels, lease)

    async def _seal(self, namespace: str, snapshot: Snapshot, name: str) -> None:
        """Outside any transaction, for it takes time; what may have changed meanwhile is looked at again."""
        if self._rows.find(namespace, name) is not None:
            raise errdefs.AlreadyExists(f'committed snapshot "{name}": already exists')
        with storage.translated(f"cannot commit snapshot {snapshot.key}"):
            await threads.run(self.driver.seal, snapshot.id, self._rows.ancestors(snapshot.parent))
        if self._rows.get(namespace, snapshot.key) != snapshot:
            raise errdefs.FailedPrecondition(f"snapshot {snapshot.key} was changed while it was committed")

    def _rebase(self, namespace: str, snapshot: Snapshot, parent: str) -> int | None:
        if not self.driver.rebases:
            raise errdefs.Unimplemented(f"snapshotter {self.name} cannot give a parent to a snapshot made without one")
        base = self._rows.committed_parent(namespace, parent)
        self.driver.rebase(snapshot.id, self._rows.ancestors(base))
        return base

    def remove(self, namespace: str, key: str) -> None:
        found = self._rows.get(namespace, key)
        with self._rows.db.write():
            self._rows.delete(namespace, found)
        self.driver.discard(found.id)
        self._sweep_soon()

    async def usage(self, namespace: str, key: str) -> tuple[int, int]:
        """Bytes and inodes; counted once for a committed snapshot."""
        found = self._rows.get(namespace, key)
        if found.size is not None and found.inodes is not None:
            return found.size, found.inodes
        size, inodes = await threads.run(self.driver.usage, found.id, self._rows.ancestors(found.parent))
        if found.kind == snapshots_pb2.COMMITTED:
            self._rows.set_usage(found, size, inodes)
        return size, inodes

    async def cleanup(self) -> None:
        """Wait until all that was removed is gone from the disk."""
        async with self._sweeping:
            await threads.run(self.driver.sweep)

    def _sweep_soon(self) -> None:
        if len(self._sweeps) > 1:
            return
        task = asyncio.get_running_loop().create_task(self._sweep())
        self._sweeps.add(task)
        task.add_done_callback(self._sweeps.discard)

    async def _sweep(self) -> None:
        try:
            await self.cleanup()
        except OSError as error:
            log.warning("cannot delete removed snapshots, trying again later driver=%s error=%s", self.name, error)

    async def close(self) -> None:
        await asyncio.gather(*self._sweeps)

    async def shut(self) -> None:
        """At the end of the process: what is mounted stays so."""
        await self.close()
        await threads.run(self.driver.close)


def _size(labels: dict[str, str]) -> int:
    text = labels.get(wire.SIZE, "0")
    if not text.isdecimal():
        raise errdefs.InvalidArgument(f"label {wire.SIZE} is no number of bytes: {text}")
    return int(text)


def choose(snapshotters: dict[str, Snapshotter], name: str) -> Snapshotter:
    """The snapshotter a request names; the first one where it names none."""
    if not name:
        return next(iter(snapshotters.values()))
    found = snapshotters.get(name)
    if found is None:
        raise errdefs.InvalidArgument(f"snapshotter not loaded: {name}: invalid argument")
    return found
