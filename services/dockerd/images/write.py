"""Manifests written into the content store, so that what they refer to stays as long as they do."""

from services.dockerd.images import content, manifest
from services.dockerd.images.manifest import Descriptor
from services.dockerd.images.store import Images


async def write_manifest(images: Images, config: Descriptor, layers: list[Descriptor], lease: str) -> Descriptor:
    """A manifest for content that is there, holding it against collection."""
    return await write_document(images, manifest.encode(config, layers), config, layers, lease)


async def write_document(
    images: Images, data: bytes, config: Descriptor, layers: list[Descriptor], lease: str
) -> Descriptor:
    """A manifest as it is, holding its config and layers against collection."""
    labels = {"containerd.io/gc.ref.content.config": config.digest}
    labels |= {f"containerd.io/gc.ref.content.l.{number}": layer.digest for number, layer in enumerate(layers)}
    digest, size = await content.write_bytes(images.client, data, lease=lease, labels=labels)
    return Descriptor(manifest.kind_of("", data), digest, size)
