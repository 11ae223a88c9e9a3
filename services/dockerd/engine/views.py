"""Images that containers mount (`--mount type=image`): a read-only snapshot of each, kept as long as the container.

It is made at create, so that the image may go meanwhile, and has a label that keeps it from collection.
"""

import contextlib
import re
import time
from collections.abc import Sequence
from typing import Final

from protos import errdefs
from protos.containerd.services.snapshots.v1 import snapshots_pb2
from protos.containerd.types.mount_pb2 import Mount
from services.dockerd.container.container import Container
from services.dockerd.engine.engine import Engine
from services.dockerd.images import unpack
from services.dockerd.volumes import mounts
from services.dockerd.volumes.mountpoint import MountPoint

KEY: Final = re.compile("([0-9a-f]{64}) at /")
"""Keys of these snapshots."""


def _key(container_id: str, point: MountPoint) -> str:
    return f"{container_id} at {point.destination}"


async def make(engine: Engine, container: Container) -> None:
    """Find the images, and make a view of each; the points then name the image's id."""
    for point in _images(container):
        try:
            image = await unpack.ready(engine.images, point.source or point.name)
        except errdefs.NotFound as error:  # a client takes 404 from create for the container's own image, and pulls
            raise errdefs.InvalidArgument(str(error)) from error
        point.source = image.id
        request = snapshots_pb2.ViewSnapshotRequest(
            snapshotter=container.driver, key=_key(container.id, point), parent=image.chain_id, labels=_root_label()
        )
        await engine.client.call(engine.client.snapshots.View, request)


def _images(container: Container) -> list[MountPoint]:
    return [point for point in container.mounts if point.type == "image"]


def _root_label() -> dict[str, str]:
    return {"containerd.io/gc.root": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def of(engine: Engine, container: Container) -> mounts.View:
    """Finds what makes up the files of one of the container's images."""

    async def layers(point: MountPoint) -> Sequence[Mount]:
        request = snapshots_pb2.MountsRequest(snapshotter=container.driver, key=_key(container.id, point))
        return list((await engine.client.call(engine.client.snapshots.Mounts, request)).mounts)

    return layers


async def remove(engine: Engine, container: Container) -> None:
    """Harmless if repeated."""
    for point in _images(container):
        await drop(engine, container.driver, _key(container.id, point))


async def drop(engine: Engine, snapshotter: str, key: str) -> None:
    request = snapshots_pb2.RemoveSnapshotRequest(snapshotter=snapshotter, key=key)
    with contextlib.suppress(errdefs.NotFound):
        await engine.client.call(engine.client.snapshots.Remove, request)
