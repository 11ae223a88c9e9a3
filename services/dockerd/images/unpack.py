"""Layers into snapshots: each applied on its parent, verified by its diff ID, committed under its chain ID."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

from protos import errdefs
from protos.containerd.services.diff.v1 import diff_pb2
from protos.containerd.services.snapshots.v1 import snapshots_pb2
from protos.containerd.types import descriptor_pb2
from protos.snapshots import LAYER_SIZE
from services.dockerd.images import content
from services.dockerd.images.image import Image
from services.dockerd.images.manifest import Descriptor
from services.dockerd.images.store import Images

log = logging.getLogger("images")


def _ready(layer: Descriptor) -> Awaitable[None]:
    return asyncio.sleep(0)


def _silent(layer: Descriptor, text: str, current: int, total: int) -> None:
    """Nobody watches."""


async def unpack(
    images: Images,
    image: Image,
    lease: str,
    *,
    ready: Callable[[Descriptor], Awaitable[None]] = _ready,
    report: Callable[[Descriptor, str, int, int], None] = _silent,
) -> None:
    """Make the snapshots of an image that are missing; DataLoss where a layer is not what its config says.

    `ready` is awaited before a layer is read, `report` told how far it is.
    """
    if len(image.layers) != len(image.diff_ids):
        raise errdefs.InvalidArgument(
            f"image {image.id} has {len(image.layers)} layers but its config names {len(image.diff_ids)}"
        )
    parent = ""
    for layer, diff_id, chain_id in zip(image.layers, image.diff_ids, image.chain_ids, strict=True):
        exists = await _exists(images, chain_id)
        await ready(layer)
        if exists:
            report(layer, "Already exists", 0, 0)
        else:
            report(layer, "Extracting", 0, layer.size)
            await _apply(images, layer, diff_id, parent, chain_id, lease)
            report(layer, "Extracting", layer.size, layer.size)
            report(layer, "Pull complete", 0, 0)
        parent = chain_id
    if parent:
        reference = {f"containerd.io/gc.ref.snapshot.{images.snapshotter}": parent}
        await content.label(images.client, image.id, reference)
        images.unpacked.add(parent)


async def _exists(images: Images, chain_id: str) -> bool:
    request = snapshots_pb2.StatSnapshotRequest(snapshotter=images.snapshotter, key=chain_id)
    try:
        await images.client.call(images.client.snapshots.Stat, request)
    except errdefs.NotFound:
        return False
    return True


async def _apply(images: Images, layer: Descriptor, diff_id: str, parent: str, chain_id: str, lease: str) -> None:
    client, key = images.client, f"extract-{secrets.token_hex(8)} {chain_id}"
    prepare = snapshots_pb2.PrepareSnapshotRequest(snapshotter=images.snapshotter, key=key, parent=parent)
    mounts = (await client.call(client.snapshots.Prepare, prepare, lease=lease)).mounts
    try:
        blob = descriptor_pb2.Descriptor(media_type=layer.media_type, digest=layer.digest, size=layer.size)
        apply = diff_pb2.ApplyRequest(diff=blob, mounts=mounts)
        applied = (await client.call(client.diff.Apply, apply, lease=lease, timeout=None)).applied
        if applied.digest != diff_id:
            raise errdefs.DataLoss(f"layer {layer.digest} unpacks to {applied.digest}, but its image says {diff_id}")
        size = {LAYER_SIZE: said} if (said := applied.annotations.get(LAYER_SIZE)) else {}
        commit = snapshots_pb2.CommitSnapshotRequest(
            snapshotter=images.snapshotter, name=chain_id, key=key, labels=size
        )
        await client.call(client.snapshots.Commit, commit, lease=lease)
    except errdefs.AlreadyExists:
        await _drop(images, key)  # another unpack of the same layer was quicker
    except BaseException:
        await _drop(images, key)
        raise


async def _drop(images: Images, key: str) -> None:
    request = snapshots_pb2.RemoveSnapshotRequest(snapshotter=images.snapshotter, key=key)
    try:
        await images.client.call(images.client.snapshots.Remove, request)
    except errdefs.EngineError as error:
        log.warning("snapshot not removed key=%s error=%s", key, error)
