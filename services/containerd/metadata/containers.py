"""Containers as records: what may run, from which snapshot, with which spec. Whether one runs is not said here."""

from collections.abc import Sequence

from protos import errdefs
from protos.containerd.services.containers.v1.containers_pb2 import Container
from services.containerd import filters, identifiers
from services.containerd.metadata.records import Records, check_labels, set_labels


class Containers(Records[Container]):
    kind, key, columns = "container", "id", ("snapshotter", "snapshot_key")

    def parse(self, data: bytes) -> Container:
        return Container.FromString(data)

    def missing(self, namespace: str, name: str) -> errdefs.NotFound:
        return errdefs.NotFound(f'container "{name}" in namespace "{namespace}": not found')

    def beside(self, record: Container) -> tuple[str, ...]:
        return record.snapshotter, record.snapshot_key

    def check(self, record: Container) -> None:
        identifiers.check(record.id)
        check_labels(record)
        if not record.runtime.name:
            raise errdefs.InvalidArgument("container.Runtime.Name must be set")
        if not record.HasField("spec"):
            raise errdefs.InvalidArgument("container.Spec must be set")
        if record.snapshot_key and not record.snapshotter:
            raise errdefs.InvalidArgument("container.Snapshotter must be set when container.SnapshotKey is set")

    def paths(self, record: Container, wanted: Container) -> list[str]:
        for name, old, new in (
            ("Snapshotter", record.snapshotter, wanted.snapshotter),
            ("Runtime.Name", record.runtime.name, wanted.runtime.name),
        ):
            if old != new:
                raise errdefs.InvalidArgument(f"container.{name} field is immutable")
        return ["labels", "spec", "extensions", "image", "snapshot_key"]

    def set(self, record: Container, wanted: Container, path: str) -> None:
        field, _, key = path.partition(".")
        if field == "labels":
            set_labels(record, wanted, key)
        elif field == "extensions":
            _set_extensions(record, wanted, key)
        elif path == "spec":
            record.spec.CopyFrom(wanted.spec)
        elif path == "image":
            record.image = wanted.image
        elif path in ("snapshotkey", "snapshot_key"):
            record.snapshot_key = wanted.snapshot_key
        else:
            raise errdefs.InvalidArgument(f'cannot update "{path}" field on container "{record.id}"')

    def field(self, record: Container, path: Sequence[str]) -> str | None:
        match list(path):
            case ["id"]:
                return record.id
            case ["image"]:
                return record.image or None
            case ["runtime", "name"]:
                return record.runtime.name
            case ["labels", *key]:
                return filters.labels_field(record.labels, key)
        return None


def _set_extensions(container: Container, wanted: Container, key: str) -> None:
    if not key:
        container.extensions.clear()
    for name in [key] if key else list(wanted.extensions):
        container.extensions[name].CopyFrom(wanted.extensions[name])
