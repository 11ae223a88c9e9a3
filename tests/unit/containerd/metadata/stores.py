"""All metadata stores on one database, for tests."""

from dataclasses import dataclass
from pathlib import Path

from google.protobuf.any_pb2 import Any

from protos.containerd.services.containers.v1.containers_pb2 import Container
from protos.containerd.services.images.v1.images_pb2 import Image
from protos.containerd.types.descriptor_pb2 import Descriptor
from services.containerd.metadata.containers import Containers
from services.containerd.metadata.content import ContentRows
from services.containerd.metadata.db import Database
from services.containerd.metadata.images import Images
from services.containerd.metadata.leases import Leases
from services.containerd.metadata.namespaces import Namespaces
from services.containerd.metadata.snapshots import SnapshotRows

NS = "default"


@dataclass
class Stores:
    db: Database
    leases: Leases
    namespaces: Namespaces
    containers: Containers
    images: Images
    content: ContentRows
    snapshots: SnapshotRows


def open_stores(path: Path) -> Stores:
    db = Database(path / "meta.db")
    leases = Leases(db)
    return Stores(
        db, leases, Namespaces(db), Containers(db), Images(db), ContentRows(db, leases),
        SnapshotRows(db, leases, "overlayfs"),
    )


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def image(name: str, target: int, **labels: str) -> Image:
    return Image(name=name, target=Descriptor(media_type="m", digest=digest(target), size=1), labels=labels)


def container(name: str, key: str = "", **fields: object) -> Container:
    base = Container(id=name, runtime=Container.Runtime(name="r"), spec=Any(value=b"{}"))
    if key:
        base.snapshotter, base.snapshot_key = "overlayfs", key
    for field, value in fields.items():
        getattr(base, field).update(value)
    return base
