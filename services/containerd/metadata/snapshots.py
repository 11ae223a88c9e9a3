"""Snapshots as rows of one forest per namespace and storage driver. Directories and mounts are snapshots/*.py's."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from protos import errdefs
from protos.containerd.services.snapshots.v1 import snapshots_pb2
from protos.containerd.services.snapshots.v1.snapshots_pb2 import Info
from services.containerd import filters
from services.containerd.metadata import labels as labelling
from services.containerd.metadata.db import Database
from services.containerd.metadata.leases import Leases

_COLUMNS = "s.id, s.key, p.key, s.kind, s.created, s.updated, s.labels, s.size, s.inodes, s.parent"
_FROM = "FROM snapshots s LEFT JOIN snapshots p ON p.id = s.parent"


@dataclass(frozen=True, slots=True)
class Snapshot:
    id: int
    key: str
    parent_key: str
    kind: int
    created: int
    updated: int
    labels: str
    size: int | None
    inodes: int | None
    parent: int | None

    def to_proto(self) -> Info:
        return Info(
            name=self.key, parent=self.parent_key, kind=snapshots_pb2.Kind.ValueType(self.kind),
            created_at=labelling.stamp(self.created), updated_at=labelling.stamp(self.updated),
            labels=labelling.decode(self.labels),
        )


class SnapshotRows:
    """The rows of one driver."""

    def __init__(self, db: Database, leases: Leases, driver: str) -> None:
        self.db = db
        self.driver = driver
        self._leases = leases

    def find(self, namespace: str, key: str) -> Snapshot | None:
        row = self.db.read_one(
            f"SELECT {_COLUMNS} {_FROM} WHERE s.namespace = ? AND s.driver = ? AND s.key = ?",
            namespace, self.driver, key,
        )
        return None if row is None else Snapshot(*row)

    def get(self, namespace: str, key: str) -> Snapshot:
        found = self.find(namespace, key)
        if found is None or found.kind == snapshots_pb2.UNKNOWN:
            raise errdefs.NotFound(f"snapshot {key} does not exist: not found")
        return found

    def select(self, namespace: str, wanted: Sequence[str]) -> list[Info]:
        rows = self.db.read(
            f"SELECT {_COLUMNS} {_FROM} WHERE s.namespace = ? AND s.driver = ? AND s.kind > 0 ORDER BY s.id",
            namespace, self.driver,
        )
        found = (Snapshot(*row).to_proto() for row in rows)
        return filters.select(found, wanted, _field)

    def ids(self) -> set[int]:
        return {number for (number,) in self.db.read("SELECT id FROM snapshots WHERE driver = ?", self.driver)}

    def ancestors(self, parent: int | None) -> list[int]:
        """Ids of a parent, its parent, and so on; none for None."""
        if parent is None:
            return []
        rows = self.db.read(
            "WITH RECURSIVE chain (id, depth) AS (SELECT ?, 0 UNION ALL"
            " SELECT s.parent, depth + 1 FROM chain JOIN snapshots s ON s.id = chain.id WHERE s.parent IS NOT NULL)"
            " SELECT id FROM chain ORDER BY depth",
            parent,
        )
        return [number for (number,) in rows]

    def committed_parent(self, namespace: str, key: str) -> int | None:
        """Id of what a new snapshot builds on: None for no parent; only a committed one will do."""
        if not key:
            return None
        found = self.find(namespace, key)
        if found is None:
            raise errdefs.NotFound(f"parent snapshot {key} does not exist: not found")
        if found.kind != snapshots_pb2.COMMITTED:
            raise errdefs.InvalidArgument(f'parent "{key}" is not committed snapshot: invalid argument')
        return found.id

    def insert(
        self, namespace: str, key: str, parent: int | None, kind: int, labels: dict[str, str], lease: str
    ) -> int:
        """Inside a transaction: a new row, held by the lease if given; its id."""
        now = time.time_ns()
        self.db.ensure_namespace(namespace)
        added = self.db.read(
            "INSERT OR IGNORE INTO snapshots (namespace, driver, key, parent, kind, created, updated, labels)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            namespace, self.driver, key, parent, kind, now, now, labelling.encode(labels),
        )
        if not added:
            raise errdefs.AlreadyExists(f'snapshot "{key}": already exists')
        self._leases.hold(namespace, lease, f"snapshots/{self.driver}", key)
        return int(added[0][0])

    def finish(self, number: int, kind: int) -> None:
        """A row inserted as UNKNOWN, which only keeps its key and its parent, becomes a snapshot."""
        with self.db.write() as execute:
            execute("UPDATE snapshots SET kind = ? WHERE id = ?", (kind, number))

    def forget(self, number: int) -> None:
        with self.db.write() as execute:
            execute("DELETE FROM snapshots WHERE id = ?", (number,))

    def forget_unfinished(self) -> None:
        with self.db.write() as execute:
            execute("DELETE FROM snapshots WHERE driver = ? AND kind = ?", (self.driver, snapshots_pb2.UNKNOWN))

    def commit(
        self, namespace: str, snapshot: Snapshot, name: str, parent: int | None, labels: dict[str, str], lease: str
    ) -> None:
        """Inside a transaction: an active snapshot becomes a committed one of another name."""
        if self.find(namespace, name) is not None:
            raise errdefs.AlreadyExists(f'committed snapshot "{name}": already exists')
        self.db.read(
            "UPDATE snapshots SET key = ?, kind = ?, parent = ?, labels = ?, updated = ? WHERE id = ?",
            name, snapshots_pb2.COMMITTED, parent, labelling.encode(labels), time.time_ns(), snapshot.id,
        )
        self._release(namespace, snapshot.key)
        self._leases.hold(namespace, lease, f"snapshots/{self.driver}", name)

    def delete(self, namespace: str, snapshot: Snapshot) -> None:
        """Inside a transaction: remove a snapshot that nothing builds on."""
        child = self.db.read_one("SELECT key FROM snapshots WHERE parent = ? LIMIT 1", snapshot.id)
        if child is not None:
            raise errdefs.FailedPrecondition(
                f"cannot remove snapshot {snapshot.key}: snapshot {child[0]} builds on it: failed precondition"
            )
        self.db.read("DELETE FROM snapshots WHERE id = ?", snapshot.id)
        self._release(namespace, snapshot.key)

    def _release(self, namespace: str, key: str) -> None:
        self.db.read(
            "DELETE FROM resources WHERE namespace = ? AND type = ? AND id = ?",
            namespace, f"snapshots/{self.driver}", key,
        )

    def update(self, namespace: str, wanted: Info, paths: Sequence[str]) -> Info:
        found = self.get(namespace, wanted.name)
        merged = labelling.merge(labelling.decode(found.labels), wanted.labels, paths)
        with self.db.write() as execute:
            execute(
                "UPDATE snapshots SET labels = ?, updated = ? WHERE id = ?",
                (labelling.encode(merged), time.time_ns(), found.id),
            )
        return self.get(namespace, wanted.name).to_proto()

    def set_usage(self, snapshot: Snapshot, size: int, inodes: int) -> None:
        with self.db.write() as execute:
            execute("UPDATE snapshots SET size = ?, inodes = ? WHERE id = ?", (size, inodes, snapshot.id))


def _field(info: Info, path: Sequence[str]) -> str | None:
    match list(path):
        case ["kind"]:
            return snapshots_pb2.Kind.Name(info.kind).capitalize()
        case ["name"]:
            return info.name
        case ["parent"]:
            return info.parent or None
        case ["labels", *key]:
            return filters.labels_field(info.labels, key)
    return None
