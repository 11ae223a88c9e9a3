"""Bytes of images: the files of their layers, as counted when they were unpacked, or by the snapshotter."""

import asyncio

from protos import snapshots
from protos.containerd.services.snapshots.v1 import snapshots_pb2
from protos.errdefs import NotFound
from services.dockerd import graph, storage
from services.dockerd.images.image import Image
from services.dockerd.images.store import Images


async def of_image(images: Images, image: Image) -> int:
    return sum([await of_layer(images, chain_id) for chain_id in image.chain_ids])


async def of_layer(images: Images, chain_id: str) -> int:
    """0 for a layer that is not unpacked yet: asked again next time."""
    if chain_id not in images.sizes:
        try:
            images.sizes[chain_id] = await _measure(images, chain_id)
        except NotFound:
            return 0
    return images.sizes[chain_id]


async def _measure(images: Images, chain_id: str) -> int:
    """What was written down when the layer was unpacked: nothing by another containerd, or by an older version."""
    labels = (await _snapshot(images, chain_id)).labels
    if (said := labels.get(snapshots.LAYER_SIZE, "")).isdecimal():
        return int(said)
    client = images.client
    if not (directory := labels.get(graph.UPPER)):
        request = snapshots_pb2.UsageRequest(snapshotter=images.snapshotter, key=chain_id)
        return (await client.call(client.snapshots.Usage, request)).size
    size = await asyncio.to_thread(storage.weigh, directory)
    info = snapshots_pb2.Info(name=chain_id, labels={snapshots.LAYER_SIZE: str(size)})
    keep = snapshots_pb2.UpdateSnapshotRequest(snapshotter=images.snapshotter, info=info)
    keep.update_mask.paths.append(f"labels.{snapshots.LAYER_SIZE}")
    await client.call(client.snapshots.Update, keep)
    return size


async def _snapshot(images: Images, chain_id: str) -> snapshots_pb2.Info:
    request = snapshots_pb2.StatSnapshotRequest(snapshotter=images.snapshotter, key=chain_id)
    return (await images.client.call(images.client.snapshots.Stat, request)).info


async def layer_labels(images: Images, chain_id: str) -> dict[str, str]:
    """What the snapshotter says of a layer; empty where it is not unpacked."""
    try:
        return dict((await _snapshot(images, chain_id)).labels)
    except NotFound:
        return {}
