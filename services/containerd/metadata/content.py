"""Which namespace sees which blob, and the ingests under way. The bytes are content/store.py's."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from protos import errdefs
from protos.containerd.services.content.v1.content_pb2 import Info
from services.containerd import filters
from services.containerd.metadata import labels as labelling
from services.containerd.metadata.db import Database
from services.containerd.metadata.leases import Leases


@dataclass(frozen=True, slots=True)
class IngestRow:
    id: int
    namespace: str
    ref: str
    started: int
    """Zero once the lease is gone that alone held it."""
    total: int
    expected: str


class ContentRows:
    def __init__(self, db: Database, leases: Leases) -> None:
        self._db = db
        self._leases = leases

    def info(self, namespace: str, digest: str) -> Info:
        row = self._db.read_one(
            "SELECT digest, size, created, updated, labels FROM content WHERE namespace = ? AND digest = ?",
            namespace, digest,
        )
        if row is None:
            raise errdefs.NotFound(f"content digest {digest}: not found")
        return _info(row)

    def has(self, namespace: str, digest: str) -> bool:
        return self._db.read_one(
            "SELECT 1 FROM content WHERE namespace = ? AND digest = ?", namespace, digest
        ) is not None

    def size_anywhere(self, digest: str) -> int | None:
        """Size of a blob that any namespace holds."""
        row = self._db.read_one("SELECT size FROM content WHERE digest = ? LIMIT 1", digest)
        return None if row is None else int(row[0])

    def digests(self) -> set[str]:
        """Every digest that any namespace holds."""
        return {digest for (digest,) in self._db.read("SELECT DISTINCT digest FROM content")}

    def select(self, namespace: str, wanted: Sequence[str]) -> list[Info]:
        rows = self._db.read(
            "SELECT digest, size, created, updated, labels FROM content WHERE namespace = ? ORDER BY digest", namespace
        )
        return filters.select(map(_info, rows), wanted, _field)

    def update(self, wanted: Info, namespace: str, paths: Sequence[str]) -> Info:
        merged = labelling.merge(self.info(namespace, wanted.digest).labels, wanted.labels, paths)
        with self._db.write() as execute:
            execute(
                "UPDATE content SET labels = ?, updated = ? WHERE namespace = ? AND digest = ?",
                (labelling.encode(merged), time.time_ns(), namespace, wanted.digest),
            )
        return self.info(namespace, wanted.digest)

    def add(
        self, namespace: str, digest: str, size: int, labels: dict[str, str], lease: str, ingest: IngestRow | None
    ) -> None:
        """Make a blob visible to a namespace; the ingest it came from is over."""
        now = time.time_ns()
        with self._db.write() as execute:
            self._db.ensure_namespace(namespace)
            row = (namespace, digest, size, now, now, labelling.encode(labels))
            execute("INSERT INTO content VALUES (?, ?, ?, ?, ?, ?)", row)
            if ingest is not None:
                self._forget(ingest)
            self._leases.hold(namespace, lease, "content", digest)

    def hold(self, namespace: str, lease: str, digest: str) -> None:
        """A lease that asked for a blob which is there already holds it too."""
        if lease:
            with self._db.write():
                self._leases.hold(namespace, lease, "content", digest)

    def delete(self, namespace: str, digest: str) -> None:
        with self._db.write() as execute:
            if not execute("DELETE FROM content WHERE namespace = ? AND digest = ?", (namespace, digest)).rowcount:
                raise errdefs.NotFound(f"content digest {digest}: not found")
            execute(
                "DELETE FROM resources WHERE namespace = ? AND type = 'content' AND id = ?", (namespace, digest)
            )

    def drop_everywhere(self, digest: str) -> None:
        with self._db.write() as execute:
            execute("DELETE FROM content WHERE digest = ?", (digest,))

    def ingest(self, namespace: str, ref: str) -> IngestRow:
        found = self._ingests("WHERE namespace = ? AND ref = ?", namespace, ref)
        if not found:
            raise errdefs.NotFound(f'ingest "{ref}": not found')
        return found[0]

    def ingests(self, namespace: str | None = None) -> list[IngestRow]:
        if namespace is None:
            return self._ingests("")
        return self._ingests("WHERE namespace = ? ORDER BY ref", namespace)

    def _ingests(self, where: str, *values: str) -> list[IngestRow]:
        rows = self._db.read(f"SELECT id, namespace, ref, started, total, expected FROM ingests {where}", *values)
        return [IngestRow(*row) for row in rows]

    def begin_ingest(self, namespace: str, ref: str, total: int, expected: str, lease: str) -> IngestRow:
        """The ingest of that name: the one under way, or a new one; under the lease if given."""
        with self._db.write() as execute:
            self._db.ensure_namespace(namespace)
            execute(
                "INSERT INTO ingests (namespace, ref, started, total, expected) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (namespace, ref) DO UPDATE SET total = max(total, excluded.total),"
                " started = CASE started WHEN 0 THEN excluded.started ELSE started END",
                (namespace, ref, time.time_ns(), total, expected),
            )
            self._leases.hold(namespace, lease, "ingests", ref)
        return self.ingest(namespace, ref)

    def end_ingest(self, ingest: IngestRow) -> None:
        with self._db.write():
            self._forget(ingest)

    def _forget(self, ingest: IngestRow) -> None:
        """Inside a transaction."""
        self._db.read("DELETE FROM ingests WHERE id = ?", ingest.id)
        self._db.read(
            "DELETE FROM resources WHERE namespace = ? AND type = 'ingests' AND id = ?", ingest.namespace, ingest.ref
        )


def _info(row: Sequence[object]) -> Info:
    digest, size, created, updated, labels = row
    return Info(
        digest=str(digest), size=int(str(size)), labels=labelling.decode(str(labels)),
        created_at=labelling.stamp(int(str(created))), updated_at=labelling.stamp(int(str(updated))),
    )


def _field(info: Info, path: Sequence[str]) -> str | None:
    match list(path):
        case ["digest"]:
            return info.digest
        case ["size"]:
            return str(info.size)
        case ["labels", *key]:
            return filters.labels_field(info.labels, key)
    return None
