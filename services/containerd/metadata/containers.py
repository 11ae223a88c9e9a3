"""Containers as records: what may run, from which snapshot, with which spec. Whether one runs is not said here."""

import time
from collections.abc import Sequence

from protos import errdefs
from protos.containerd.services.containers.v1.containers_pb2 import Container
from services.containerd import filters, identifiers
from services.containerd.metadata import labels as labelling
from services.containerd.metadata.db import Database


class Containers:
    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, namespace: str, container_id: str) -> Container:
        row = self._db.read_one("SELECT record FROM containers WHERE namespace = ? AND id = ?", namespace, container_id)
        if row is None:
            raise errdefs.NotFound(f'container "{container_id}" in namespace "{namespace}": not found')
        return Container.FromString(row[0])

    def select(self, namespace: str, wanted: Sequence[str]) -> list[Container]:
        rows = self._db.read("SELECT record FROM containers WHERE namespace = ? ORDER BY id", namespace)
        found = (Container.FromString(record) for (record,) in rows)
        return filters.select(found, wanted, _field)

    def create(self, namespace: str, container: Container) -> Container:
        _check(container)
        now = labelling.stamp(time.time_ns())
        container.created_at.CopyFrom(now)
        container.updated_at.CopyFrom(now)
        with self._db.write() as execute:
            self._db.ensure_namespace(namespace)
            record = container.SerializeToString()
            row = (namespace, container.id, container.snapshotter, container.snapshot_key, record)
            if not execute("INSERT OR IGNORE INTO containers VALUES (?, ?, ?, ?, ?)", row).rowcount:
                raise errdefs.AlreadyExists(f'container "{container.id}": already exists')
        return container

    def update(self, namespace: str, wanted: Container, paths: Sequence[str]) -> Container:
        """Change labels, spec, extensions, image and snapshot; with no paths all of them."""
        if not wanted.id:
            raise errdefs.InvalidArgument("must specify a container id")
        container = self.get(namespace, wanted.id)
        for path in paths or _mutable_paths(container, wanted):
            _set(container, wanted, path)
        _check(container)
        container.updated_at.CopyFrom(labelling.stamp(time.time_ns()))
        with self._db.write() as execute:
            execute(
                "UPDATE containers SET snapshotter = ?, snapshot_key = ?, record = ? WHERE namespace = ? AND id = ?",
                (container.snapshotter, container.snapshot_key, container.SerializeToString(), namespace, container.id),
            )
        return container

    def delete(self, namespace: str, container_id: str) -> None:
        with self._db.write() as execute:
            if not execute("DELETE FROM containers WHERE namespace = ? AND id = ?", (namespace, container_id)).rowcount:
                raise errdefs.NotFound(f'container "{container_id}" in namespace "{namespace}": not found')


def _check(container: Container) -> None:
    identifiers.check(container.id)
    for key, value in container.labels.items():
        identifiers.check_label(key, value)
    if not container.runtime.name:
        raise errdefs.InvalidArgument("container.Runtime.Name must be set")
    if not container.HasField("spec"):
        raise errdefs.InvalidArgument("container.Spec must be set")
    if container.snapshot_key and not container.snapshotter:
        raise errdefs.InvalidArgument("container.Snapshotter must be set when container.SnapshotKey is set")


def _mutable_paths(container: Container, wanted: Container) -> list[str]:
    for name, old, new in (
        ("Snapshotter", container.snapshotter, wanted.snapshotter),
        ("Runtime.Name", container.runtime.name, wanted.runtime.name),
    ):
        if old != new:
            raise errdefs.InvalidArgument(f"container.{name} field is immutable")
    return ["labels", "spec", "extensions", "image", "snapshot_key"]


def _set(container: Container, wanted: Container, path: str) -> None:
    field, _, key = path.partition(".")
    if field == "labels" and key:
        labelling.merge_key(container.labels, wanted.labels, key)
    elif field == "labels":
        container.labels.clear()
        container.labels.update(wanted.labels)
    elif field == "extensions":
        _set_extensions(container, wanted, key)
    elif path == "spec":
        container.spec.CopyFrom(wanted.spec)
    elif path == "image":
        container.image = wanted.image
    elif path in ("snapshotkey", "snapshot_key"):
        container.snapshot_key = wanted.snapshot_key
    else:
        raise errdefs.InvalidArgument(f'cannot update "{path}" field on container "{container.id}"')


def _set_extensions(container: Container, wanted: Container, key: str) -> None:
    if not key:
        container.extensions.clear()
    for name in [key] if key else list(wanted.extensions):
        container.extensions[name].CopyFrom(wanted.extensions[name])


def _field(container: Container, path: Sequence[str]) -> str | None:
    match list(path):
        case ["id"]:
            return container.id
        case ["image"]:
            return container.image or None
        case ["runtime", "name"]:
            return container.runtime.name
        case ["labels", *key]:
            return filters.labels_field(container.labels, key)
    return None
