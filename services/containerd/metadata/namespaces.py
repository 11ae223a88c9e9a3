"""Namespaces: made by their first object or by name, removed only when empty."""

from typing import Final

from protos import errdefs
from protos.containerd.services.namespaces.v1.namespace_pb2 import Namespace
from services.containerd import identifiers
from services.containerd.metadata import labels as labelling
from services.containerd.metadata.db import Database

_HOLDERS: Final = {
    "images": "images",
    "blobs": "content",
    "ingests": "ingests",
    "snapshots": "snapshots",
    "containers": "containers",
    "leases": "leases",
}


class Namespaces:
    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, name: str) -> Namespace:
        """Its labels; none for one that is not there yet, since whoever asks is about to use it."""
        row = self._db.read_one("SELECT labels FROM namespaces WHERE name = ?", name)
        return Namespace(name=name, labels=labelling.decode(row[0]) if row else {})

    def all(self) -> list[Namespace]:
        rows = self._db.read("SELECT name, labels FROM namespaces ORDER BY name")
        return [Namespace(name=name, labels=labelling.decode(text)) for name, text in rows]

    def create(self, namespace: Namespace) -> Namespace:
        name = identifiers.check(namespace.name)
        text = labelling.encode(namespace.labels)
        with self._db.write() as execute:
            if not execute("INSERT OR IGNORE INTO namespaces VALUES (?, ?)", (name, text)).rowcount:
                raise errdefs.AlreadyExists(f'namespace "{name}": already exists')
        return self.get(name)

    def update(self, namespace: Namespace, paths: list[str]) -> Namespace:
        merged = labelling.merge(self.get(identifiers.check(namespace.name)).labels, namespace.labels, paths)
        with self._db.write() as execute:
            self._db.ensure_namespace(namespace.name)
            execute("UPDATE namespaces SET labels = ? WHERE name = ?", (labelling.encode(merged), namespace.name))
        return self.get(namespace.name)

    def delete(self, name: str) -> None:
        """Remove an empty namespace; FailedPrecondition says what it still holds."""
        identifiers.check(name)
        held = [
            word for word, table in _HOLDERS.items()
            if self._db.read_one(f"SELECT 1 FROM {table} WHERE namespace = ? LIMIT 1", name)
        ]
        if held:
            raise errdefs.FailedPrecondition(f'namespace "{name}" must be empty, but it still has {", ".join(held)}')
        with self._db.write() as execute:
            if not execute("DELETE FROM namespaces WHERE name = ?", (name,)).rowcount:
                raise errdefs.NotFound(f'namespace "{name}": not found')
        self._db.forget_namespace(name)
