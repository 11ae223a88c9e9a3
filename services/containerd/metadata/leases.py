"""Leases: what they name is not collected while they live."""

import time
from collections.abc import Sequence

from protos import errdefs
from protos.containerd.services.leases.v1.leases_pb2 import Lease, Resource
from services.containerd import filters
from services.containerd.metadata import labels as labelling
from services.containerd.metadata.db import Database


class Leases:
    def __init__(self, db: Database) -> None:
        self._db = db

    def create(self, namespace: str, lease_id: str, labels: dict[str, str]) -> Lease:
        if not lease_id:
            raise errdefs.InvalidArgument("lease id must not be empty")
        now = time.time_ns()
        with self._db.write() as execute:
            self._db.ensure_namespace(namespace)
            row = (namespace, lease_id, now, labelling.encode(labels))
            if not execute("INSERT OR IGNORE INTO leases VALUES (?, ?, ?, ?)", row).rowcount:
                raise errdefs.AlreadyExists(f'lease "{lease_id}": already exists')
        return Lease(id=lease_id, created_at=labelling.stamp(now), labels=labels)

    def select(self, namespace: str, wanted: Sequence[str]) -> list[Lease]:
        rows = self._db.read("SELECT id, created, labels FROM leases WHERE namespace = ? ORDER BY id", namespace)
        found = (
            Lease(id=lease_id, created_at=labelling.stamp(created), labels=labelling.decode(text))
            for lease_id, created, text in rows
        )
        return filters.select(found, wanted, _field)

    def delete(self, namespace: str, lease_id: str) -> None:
        with self._db.write() as execute:
            self.abandon_ingests(namespace, lease_id)
            if not execute("DELETE FROM leases WHERE namespace = ? AND id = ?", (namespace, lease_id)).rowcount:
                raise errdefs.NotFound(f'lease "{lease_id}": not found')

    def abandon_ingests(self, namespace: str, lease_id: str) -> None:
        """Inside a transaction, before a lease goes: ingests that it alone holds are for the next collection."""
        self._db.read(
            "UPDATE ingests SET started = 0 WHERE namespace = ?1 AND ref IN"
            " (SELECT id FROM resources WHERE namespace = ?1 AND lease = ?2 AND type = 'ingests'"
            " EXCEPT SELECT id FROM resources WHERE namespace = ?1 AND lease != ?2 AND type = 'ingests')",
            namespace, lease_id,
        )

    def add(self, namespace: str, lease_id: str, resource: Resource) -> None:
        _check(resource)
        with self._db.write():
            self.hold(namespace, lease_id, resource.type, resource.id)

    def hold(self, namespace: str, lease_id: str, kind: str, resource: str) -> None:
        """Inside a transaction: put what was made under a lease into it; no lease, nothing to do."""
        if not lease_id:
            return
        if self._db.read_one("SELECT 1 FROM leases WHERE namespace = ? AND id = ?", namespace, lease_id) is None:
            raise errdefs.NotFound(f'lease "{lease_id}": not found')
        self._db.read("INSERT OR IGNORE INTO resources VALUES (?, ?, ?, ?)", namespace, lease_id, kind, resource)

    def remove(self, namespace: str, lease_id: str, resource: Resource) -> None:
        _check(resource)
        self._require(namespace, lease_id)
        with self._db.write() as execute:
            row = (namespace, lease_id, resource.type, resource.id)
            execute("DELETE FROM resources WHERE namespace = ? AND lease = ? AND type = ? AND id = ?", row)

    def resources(self, namespace: str, lease_id: str) -> list[Resource]:
        self._require(namespace, lease_id)
        rows = self._db.read(
            "SELECT type, id FROM resources WHERE namespace = ? AND lease = ? ORDER BY type, id", namespace, lease_id
        )
        return [Resource(type=kind, id=name) for kind, name in rows]

    def _require(self, namespace: str, lease_id: str) -> None:
        if self._db.read_one("SELECT 1 FROM leases WHERE namespace = ? AND id = ?", namespace, lease_id) is None:
            raise errdefs.NotFound(f'lease "{lease_id}": not found')


def _check(resource: Resource) -> None:
    kind, slash, driver = resource.type.partition("/")
    if not resource.id or (kind, bool(slash)) not in {("content", False), ("ingests", False), ("snapshots", True)}:
        raise errdefs.Unimplemented(f"resource type {resource.type!r} is not one a lease can hold")
    if slash and not driver:
        raise errdefs.InvalidArgument(f"resource type {resource.type!r} names no snapshotter")


def _field(lease: Lease, path: Sequence[str]) -> str | None:
    match list(path):
        case ["id"]:
            return lease.id
        case ["labels", *key]:
            return filters.labels_field(lease.labels, key)
    return None
