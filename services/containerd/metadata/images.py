"""Images as records: a name for a target descriptor. What the target refers to is found through content labels."""

import time
from collections.abc import Sequence

from protos import errdefs
from protos.containerd.services.images.v1.images_pb2 import Image
from services.containerd import filters, identifiers
from services.containerd.metadata import labels as labelling
from services.containerd.metadata.db import Database


class Images:
    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, namespace: str, name: str) -> Image:
        row = self._db.read_one("SELECT record FROM images WHERE namespace = ? AND name = ?", namespace, name)
        if row is None:
            raise errdefs.NotFound(f'image "{name}": not found')
        return Image.FromString(row[0])

    def select(self, namespace: str, wanted: Sequence[str]) -> list[Image]:
        rows = self._db.read("SELECT record FROM images WHERE namespace = ? ORDER BY name", namespace)
        found = (Image.FromString(record) for (record,) in rows)
        return filters.select(found, wanted, _field)

    def create(self, namespace: str, image: Image) -> Image:
        _check(image)
        now = labelling.stamp(time.time_ns())
        image.created_at.CopyFrom(now)
        image.updated_at.CopyFrom(now)
        with self._db.write() as execute:
            self._db.ensure_namespace(namespace)
            row = (namespace, image.name, image.target.digest, image.SerializeToString())
            if not execute("INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?)", row).rowcount:
                raise errdefs.AlreadyExists(f'image "{image.name}": already exists')
        return image

    def update(self, namespace: str, wanted: Image, paths: Sequence[str]) -> Image:
        """Change labels and target; with no paths both."""
        if not wanted.name:
            raise errdefs.InvalidArgument("image name is required for update")
        image = self.get(namespace, wanted.name)
        for path in paths or ["labels", "target"]:
            _set(image, wanted, path)
        _check(image)
        image.updated_at.CopyFrom(labelling.stamp(time.time_ns()))
        with self._db.write() as execute:
            execute(
                "UPDATE images SET target = ?, record = ? WHERE namespace = ? AND name = ?",
                (image.target.digest, image.SerializeToString(), namespace, image.name),
            )
        return image

    def delete(self, namespace: str, name: str, target: str = "") -> None:
        """Forget a name; with `target`, only while it means that digest."""
        if target and self.get(namespace, name).target.digest != target:
            raise errdefs.NotFound(f'image "{name}" has a different target than {target}: not found')
        with self._db.write() as execute:
            if not execute("DELETE FROM images WHERE namespace = ? AND name = ?", (namespace, name)).rowcount:
                raise errdefs.NotFound(f'image "{name}": not found')


def _check(image: Image) -> None:
    if not image.name:
        raise errdefs.InvalidArgument("image name must not be empty")
    for key, value in image.labels.items():
        identifiers.check_label(key, value)
    identifiers.check_digest(image.target.digest)
    if image.target.size <= 0:
        raise errdefs.InvalidArgument("Target.Size must be greater than zero")
    if not image.target.media_type:
        raise errdefs.InvalidArgument("Target.MediaType must be set")


def _set(image: Image, wanted: Image, path: str) -> None:
    field, _, key = path.partition(".")
    if field == "labels" and key:
        labelling.merge_key(image.labels, wanted.labels, key)
    elif field == "labels":
        image.labels.clear()
        image.labels.update(wanted.labels)
    elif path == "target":
        image.target.CopyFrom(wanted.target)
    elif field == "annotations" and key:
        labelling.merge_key(image.target.annotations, wanted.target.annotations, key)
    else:
        raise errdefs.InvalidArgument(f'cannot update "{path}" field on image "{image.name}"')


def _field(image: Image, path: Sequence[str]) -> str | None:
    match list(path):
        case ["name"]:
            return image.name
        case ["target", "digest"]:
            return image.target.digest
        case ["target", "mediatype"]:
            return image.target.media_type
        case ["labels", *key]:
            return filters.labels_field(image.labels, key)
        case ["annotations", *key]:
            return filters.labels_field(image.target.annotations, key)
    return None
