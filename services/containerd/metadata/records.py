"""What containers and images have in common: messages by namespace and name, with the columns that are searched beside.

What a record must be, which of its fields may change and which a filter sees is said by containers.py and images.py.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from protos import errdefs
from protos.containerd.services.containers.v1.containers_pb2 import Container
from protos.containerd.services.images.v1.images_pb2 import Image
from services.containerd import filters, identifiers
from services.containerd.metadata import labels as labelling
from services.containerd.metadata.db import Database

Record = TypeVar("Record", Container, Image)


class Records(ABC, Generic[Record]):
    kind: ClassVar[str]
    """As errors call it; the table is its plural."""
    key: ClassVar[str]
    """The field, and the column, that names a record."""
    columns: ClassVar[tuple[str, ...]]
    """Further columns, in the table's order."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @abstractmethod
    def parse(self, data: bytes) -> Record: ...

    @abstractmethod
    def beside(self, record: Record) -> tuple[str, ...]:
        """Values of `columns`."""

    @abstractmethod
    def check(self, record: Record) -> None:
        """InvalidArgument for what cannot be kept."""

    @abstractmethod
    def paths(self, record: Record, wanted: Record) -> list[str]:
        """What an update without paths changes."""

    @abstractmethod
    def set(self, record: Record, wanted: Record, path: str) -> None:
        """Take over one field."""

    @abstractmethod
    def field(self, record: Record, path: Sequence[str]) -> str | None:
        """What a filter sees."""

    def missing(self, namespace: str, name: str) -> errdefs.NotFound:
        return errdefs.NotFound(f'{self.kind} "{name}": not found')

    def get(self, namespace: str, name: str) -> Record:
        row = self._db.read_one(
            f"SELECT record FROM {self.kind}s WHERE namespace = ? AND {self.key} = ?", namespace, name)
        if row is None:
            raise self.missing(namespace, name)
        return self.parse(row[0])

    def select(self, namespace: str, wanted: Sequence[str]) -> list[Record]:
        rows = self._db.read(f"SELECT record FROM {self.kind}s WHERE namespace = ? ORDER BY {self.key}", namespace)
        return filters.select((self.parse(data) for (data,) in rows), wanted, self.field)

    def create(self, namespace: str, record: Record) -> Record:
        self.check(record)
        now = labelling.stamp(time.time_ns())
        record.created_at.CopyFrom(now)
        record.updated_at.CopyFrom(now)
        name = getattr(record, self.key)
        row = (namespace, name, *self.beside(record), record.SerializeToString())
        with self._db.write() as execute:
            self._db.ensure_namespace(namespace)
            places = ", ".join("?" * len(row))
            if not execute(f"INSERT OR IGNORE INTO {self.kind}s VALUES ({places})", row).rowcount:
                raise errdefs.AlreadyExists(f'{self.kind} "{name}": already exists')
        return record

    def update(self, namespace: str, wanted: Record, paths: Sequence[str]) -> Record:
        """Change the fields that are named; with none all that may change."""
        name = getattr(wanted, self.key)
        if not name:
            raise errdefs.InvalidArgument(f"{self.kind} {self.key} is required for update")
        record: Record = self.get(namespace, name)
        for path in paths or self.paths(record, wanted):
            self.set(record, wanted, path)
        self.check(record)
        record.updated_at.CopyFrom(labelling.stamp(time.time_ns()))
        columns = ", ".join(f"{column} = ?" for column in (*self.columns, "record"))
        row = (*self.beside(record), record.SerializeToString(), namespace, name)
        with self._db.write() as execute:
            execute(f"UPDATE {self.kind}s SET {columns} WHERE namespace = ? AND {self.key} = ?", row)
        return record

    def delete(self, namespace: str, name: str) -> None:
        with self._db.write() as execute:
            row = (namespace, name)
            if not execute(f"DELETE FROM {self.kind}s WHERE namespace = ? AND {self.key} = ?", row).rowcount:
                raise self.missing(namespace, name)


def set_labels(record: Record, wanted: Record, key: str) -> None:
    """All labels, or the one named."""
    if key:
        labelling.merge_key(record.labels, wanted.labels, key)
    else:
        record.labels.clear()
        record.labels.update(wanted.labels)


def check_labels(record: Record) -> None:
    for key, value in record.labels.items():
        identifiers.check_label(key, value)
