"""`docker import`: a root file system as a tar stream becomes an image of one layer."""

import json
import secrets
import time
from collections.abc import AsyncIterable
from typing import Any

from protos.errdefs import InvalidArgument
from services.dockerd.container import stamp
from services.dockerd.images import changes, codec, content, manifest, platform, reference
from services.dockerd.images.image import Image
from services.dockerd.images.manifest import Descriptor
from services.dockerd.images.read import PARENT, read_image
from services.dockerd.images.store import Images
from services.dockerd.images.unpack import unpack
from services.dockerd.images.write import write_manifest
from services.dockerd.release import VERSION


async def import_image(
    images: Images,
    body: AsyncIterable[bytes],
    *,
    source: str,
    name: reference.Reference | None,
    message: str,
    change: list[str],
    wanted: platform.Platform | None = None,
) -> Image:
    """Take a root file system in, plain or compressed; its image, named if `name` is given."""
    if wanted and wanted.os != "linux":
        raise InvalidArgument("operating system is not supported")
    config = changes.apply({}, change)
    async with images.lease() as lease:
        layer_digest, size = await content.write(
            images.client, f"import-{secrets.token_hex(8)}", codec.plain(body), lease=lease
        )
        layer = Descriptor(manifest.OCI_LAYER, layer_digest, size)
        document = _document(config, layer_digest, message or f"Imported from {source}", wanted or platform.default())
        image = await commit_image(images, document, [layer], lease)
        await (images.assign(name, image) if name else images.keep(image))
    images.emit("import", image.id, {"name": name.familiar if name else image.id})
    return image


def _document(config: dict[str, Any], diff_id: str, comment: str, made_for: platform.Platform) -> dict[str, Any]:
    now = stamp.rfc3339(time.time_ns())
    return {
        "architecture": made_for.architecture,
        **({"variant": made_for.variant} if made_for.variant else {}),
        "comment": comment,
        "config": config,
        "created": now,
        "docker_version": VERSION,
        "history": [{"created": now, "comment": comment}],
        "os": made_for.os,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }


async def commit_image(
    images: Images, document: dict[str, Any], layers: list[Descriptor], lease: str, *, parent: str = ""
) -> Image:
    """Write config and manifest for layers that are content already, and unpack what is not."""
    data = json.dumps(document, separators=(",", ":")).encode()
    labels = {PARENT: parent} if parent else None
    digest, size = await content.write_bytes(images.client, data, lease=lease, labels=labels)
    target = await write_manifest(images, Descriptor(manifest.OCI_CONFIG, digest, size), layers, lease)
    image = await read_image(images.client, target)
    await unpack(images, image, lease)
    return image
