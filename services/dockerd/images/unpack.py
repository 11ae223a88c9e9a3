"""Layers into snapshots: each applied, verified by its diff ID, committed under its chain ID on top of its parent."""

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from protos import errdefs
from protos.containerd.services.diff.v1 import diff_pb2
from protos.containerd.services.snapshots.v1 import snapshots_pb2
from protos.containerd.types import descriptor_pb2
from protos.snapshots import LAYER_SIZE
from services.dockerd.images import content
from services.dockerd.images.image import Image
from services.dockerd.images.manifest import Descriptor
from services.dockerd.images.platform import Platform
from services.dockerd.images.read import check_platform
from services.dockerd.images.store import Images
from services.dockerd.images.together import together

log = logging.getLogger("images")


def _at_once(layer: Descriptor) -> Awaitable[None]:
    return asyncio.sleep(0)


def _silent(layer: Descriptor, text: str, current: int, total: int) -> None:
    """Nobody watches."""


async def ready(images: Images, text: str, wanted: Platform | None = None) -> Image:
    """As `images.find`, ready to prepare a snapshot on; NotFound for another platform than the wanted one."""
    image = images.find(text)
    check_platform(image, text, wanted)
    if image.chain_id and image.chain_id not in images.unpacked:
        async with images.lease() as lease:
            await unpack(images, image, lease)
    return image


@dataclass(frozen=True, slots=True)
class _Step:
    layer: Descriptor
    diff_id: str
    chain_id: str
    parent: str


async def unpack(
    images: Images,
    image: Image,
    lease: str,
    *,
    ready: Callable[[Descriptor], Awaitable[None]] = _at_once,
    report: Callable[[Descriptor, str, int, int], None] = _silent,
) -> None:
    """Make the snapshots of an image that are missing; DataLoss where a layer is not what its config says.

    `ready` is awaited before a layer is read, `report` told how far it is.
    """
    if len(image.layers) != len(image.diff_ids):
        raise errdefs.InvalidArgument(
            f"image {image.id} has {len(image.layers)} layers but its config names {len(image.diff_ids)}"
        )
    if not image.layers:
        return
    work, before = _Unpacking(images, lease, ready, report), None
    parents = ("", *image.chain_ids)
    async with together() as group:
        for step in map(_Step, image.layers, image.diff_ids, image.chain_ids, parents):
            before = group.create_task(work.layer(step, before))
    reference = {f"containerd.io/gc.ref.snapshot.{images.snapshotter}": image.chain_id}
    await content.label(images.client, image.id, reference)
    images.unpacked.add(image.chain_id)


class _Unpacking:
    """The layers of one image, each a task: several are applied at once where the snapshotter allows it, but each is
    committed behind the one below it."""

    def __init__(
        self,
        images: Images,
        lease: str,
        ready: Callable[[Descriptor], Awaitable[None]],
        report: Callable[[Descriptor, str, int, int], None],
    ) -> None:
        self._images = images
        self._lease = lease
        self._ready = ready
        self._report = report
        # One more than can be at work at once, so that the next is there when one ends.
        self._turns = asyncio.Semaphore(len(os.sched_getaffinity(0)) + 1 if images.rebases else 1)

    async def layer(self, step: _Step, before: "asyncio.Task[None] | None") -> None:
        there = await _held(self._images, step.chain_id, self._lease)
        await self._ready(step.layer)
        if there:
            self._report(step.layer, "Already exists", 0, 0)
            return
        if before is not None and not self._images.rebases:
            await before
        key = f"extract-{secrets.token_hex(8)} {step.chain_id}"
        try:
            async with self._turns:
                self._report(step.layer, "Extracting", 0, step.layer.size)
                labels = await self._apply(step, key)
                self._report(step.layer, "Extracting", step.layer.size, step.layer.size)
            if before is not None:
                await before
            await self._commit(step, key, labels)
        except errdefs.AlreadyExists:
            await _drop(self._images, key)  # another unpack of the same layer was quicker
            await _held(self._images, step.chain_id, self._lease)
        except BaseException:
            await _drop(self._images, key)
            raise
        self._report(step.layer, "Pull complete", 0, 0)

    async def _apply(self, step: _Step, key: str) -> dict[str, str]:
        """Labels for the snapshot that now holds the layer."""
        images, client, layer = self._images, self._images.client, step.layer
        parent = "" if images.rebases else step.parent
        prepare = snapshots_pb2.PrepareSnapshotRequest(snapshotter=images.snapshotter, key=key, parent=parent)
        mounts = (await client.call(client.snapshots.Prepare, prepare, lease=self._lease)).mounts
        blob = descriptor_pb2.Descriptor(media_type=layer.media_type, digest=layer.digest, size=layer.size)
        apply = diff_pb2.ApplyRequest(diff=blob, mounts=mounts)
        applied = (await client.call(client.diff.Apply, apply, lease=self._lease, timeout=None)).applied
        if applied.digest != step.diff_id:
            raise errdefs.DataLoss(
                f"layer {layer.digest} unpacks to {applied.digest}, but its image says {step.diff_id}")
        return {LAYER_SIZE: said} if (said := applied.annotations.get(LAYER_SIZE)) else {}

    async def _commit(self, step: _Step, key: str, labels: dict[str, str]) -> None:
        parent = step.parent if self._images.rebases else ""
        commit = snapshots_pb2.CommitSnapshotRequest(
            snapshotter=self._images.snapshotter, name=step.chain_id, key=key, parent=parent, labels=labels
        )
        await self._images.client.call(self._images.client.snapshots.Commit, commit, lease=self._lease)


async def _held(images: Images, chain_id: str, lease: str) -> bool:
    """Whether a layer is unpacked, and stays so: what nothing refers to at the moment is garbage otherwise."""
    if not await exists(images, chain_id):
        return False
    await content.hold(images.client, lease, chain_id, f"snapshots/{images.snapshotter}")
    return await exists(images, chain_id)


async def exists(images: Images, chain_id: str) -> bool:
    """Whether a layer is unpacked."""
    request = snapshots_pb2.StatSnapshotRequest(snapshotter=images.snapshotter, key=chain_id)
    try:
        await images.client.call(images.client.snapshots.Stat, request)
    except errdefs.NotFound:
        return False
    return True


async def _drop(images: Images, key: str) -> None:
    request = snapshots_pb2.RemoveSnapshotRequest(snapshotter=images.snapshotter, key=key)
    try:
        await images.client.call(images.client.snapshots.Remove, request)
    except errdefs.EngineError as error:
        log.warning("snapshot not removed key=%s error=%s", key, error)
