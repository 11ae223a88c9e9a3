"""`docker commit`: what a container changed becomes one more layer, and its config a new image's."""

import secrets
import time
from dataclasses import dataclass
from typing import Any

from protos.containerd.services.diff.v1 import diff_pb2
from protos.containerd.services.snapshots.v1 import snapshots_pb2
from protos.containerd.types import mount_pb2
from services.dockerd.container import stamp
from services.dockerd.images import changes, manifest, reference
from services.dockerd.images.image import Image
from services.dockerd.images.importing import commit_image
from services.dockerd.images.manifest import Descriptor
from services.dockerd.images.store import Images
from services.dockerd.release import VERSION


@dataclass(frozen=True, slots=True)
class Commit:
    """What to make an image of. `config` is the container's own, in wire spelling."""

    container_id: str
    parent: Image
    config: dict[str, Any]
    command: tuple[str, ...] = ()
    """What the container ran, whatever the image's own is to be."""
    author: str = ""
    comment: str = ""
    change: tuple[str, ...] = ()
    name: reference.Reference | None = None


async def commit(images: Images, request: Commit) -> Image:
    """The new image. The container should be paused meanwhile, or its layer is of several moments."""
    config = changes.apply(request.config, list(request.change))
    async with images.lease() as lease:
        layer = await _diff(images, request, lease)
        added = [layer] if layer.digest != manifest.EMPTY else []
        document = _document(request, config, [each.digest for each in added])
        image = await commit_image(
            images, document, [*request.parent.layers, *added], lease, parent=request.parent.id
        )
        await (images.assign(request.name, image) if request.name else images.keep(image))
    return image


def _document(request: Commit, config: dict[str, Any], diff_ids: list[str]) -> dict[str, Any]:
    parent, now = request.parent, stamp.rfc3339(time.time_ns())
    step = {
        "created": now,
        "created_by": " ".join(request.command),
        **({"author": request.author} if request.author else {}),
        **({"comment": request.comment} if request.comment else {}),
        **({} if diff_ids else {"empty_layer": True}),
    }
    return {
        **{key: value for key, value in parent.document.items() if key in ("architecture", "os", "variant")},
        "author": request.author,
        "comment": request.comment,
        "config": config,
        "container": request.container_id,
        "created": now,
        "docker_version": VERSION,
        "history": [*parent.history, step],
        "rootfs": {"type": "layers", "diff_ids": [*parent.diff_ids, *diff_ids]},
    }


async def _diff(images: Images, request: Commit, lease: str) -> Descriptor:
    """The container's changes as a layer in the content store."""
    client, key = images.client, f"commit-{request.container_id}-{secrets.token_hex(8)}"
    stat = snapshots_pb2.StatSnapshotRequest(snapshotter=images.snapshotter, key=request.container_id)
    parent = (await client.call(client.snapshots.Stat, stat)).info.parent  # the image's own, or its skeleton
    view = snapshots_pb2.ViewSnapshotRequest(snapshotter=images.snapshotter, key=key, parent=parent)
    left = (await client.call(client.snapshots.View, view, lease=lease)).mounts
    try:
        right = await _mounts(images, request.container_id)
        ask = diff_pb2.DiffRequest(left=left, right=right, media_type=manifest.OCI_LAYER, ref=key)
        found = (await client.call(client.diff.Diff, ask, lease=lease, timeout=None)).diff
    finally:
        remove = snapshots_pb2.RemoveSnapshotRequest(snapshotter=images.snapshotter, key=key)
        await client.call(client.snapshots.Remove, remove)
    return Descriptor(manifest.OCI_LAYER, found.digest, found.size)


async def _mounts(images: Images, key: str) -> list[mount_pb2.Mount]:
    request = snapshots_pb2.MountsRequest(snapshotter=images.snapshotter, key=key)
    return list((await images.client.call(images.client.snapshots.Mounts, request)).mounts)
