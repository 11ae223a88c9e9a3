"""Images as records: a name for a target descriptor. What the target refers to is found through content labels."""

from collections.abc import Sequence

from protos import errdefs
from protos.containerd.services.images.v1.images_pb2 import Image
from services.containerd import filters, identifiers
from services.containerd.metadata import labels as labelling
from services.containerd.metadata.records import Records, check_labels, set_labels


class Images(Records[Image]):
    kind, key, columns = "image", "name", ("target",)

    def parse(self, data: bytes) -> Image:
        return Image.FromString(data)

    def beside(self, record: Image) -> tuple[str, ...]:
        return (record.target.digest,)

    def delete(self, namespace: str, name: str, target: str = "") -> None:
        """Forget a name; with `target`, only while it means that digest."""
        if target and self.get(namespace, name).target.digest != target:
            raise errdefs.NotFound(f'image "{name}" has a different target than {target}: not found')
        super().delete(namespace, name)

    def paths(self, record: Image, wanted: Image) -> list[str]:
        return ["labels", "target"]

    def check(self, record: Image) -> None:
        if not record.name:
            raise errdefs.InvalidArgument("image name must not be empty")
        check_labels(record)
        identifiers.check_digest(record.target.digest)
        if record.target.size <= 0:
            raise errdefs.InvalidArgument("Target.Size must be greater than zero")
        if not record.target.media_type:
            raise errdefs.InvalidArgument("Target.MediaType must be set")

    def set(self, record: Image, wanted: Image, path: str) -> None:
        field, _, key = path.partition(".")
        if field == "labels":
            set_labels(record, wanted, key)
        elif path == "target":
            record.target.CopyFrom(wanted.target)
        elif field == "annotations" and key:
            labelling.merge_key(record.target.annotations, wanted.target.annotations, key)
        else:
            raise errdefs.InvalidArgument(f'cannot update "{path}" field on image "{record.name}"')

    def field(self, record: Image, path: Sequence[str]) -> str | None:
        match list(path):
            case ["name"]:
                return record.name
            case ["target", "digest"]:
                return record.target.digest
            case ["target", "mediatype"]:
                return record.target.media_type
            case ["labels", *key]:
                return filters.labels_field(record.labels, key)
            case ["annotations", *key]:
                return filters.labels_field(record.target.annotations, key)
        return None
