"""The image behind a manifest or an index: its documents read from the content store, and checked."""

from typing import Any, Final

from protos import errdefs
from services.dockerd.images import content, manifest, platform
from services.dockerd.images.document import parse_config
from services.dockerd.images.image import Image
from services.dockerd.remote.client import Client

MAX_LAYERS: Final = 498
"""overlayfs stacks 500 directories, two of which are a container's own."""
PARENT: Final = "moby/parent"
"""Label of a config's content: the image that this one was committed on."""


async def read_image(
    client: Client, target: manifest.Descriptor, wanted: platform.Platform | None = None
) -> Image:
    """The documents of the image behind `target` for a platform, this machine's by default; NotFound without one."""
    data = await content.read(client, target.digest)
    found = target
    if manifest.is_index(target.media_type, data):
        chosen = platform.choose(manifest.parse_index(data), wanted)
        if chosen is None:
            raise errdefs.NotFound(f"no image for {wanted or platform.default()} in index {target.digest}")
        found = chosen
        target = found if wanted else target
        data = await content.read(client, found.digest)
    parsed = manifest.parse_manifest(data)
    document = parse_config(await content.read(client, parsed.config.digest))
    check_layers(len(parsed.layers), document)
    found = manifest.Descriptor(found.media_type, found.digest, len(data))
    parent = (await content.labels(client, parsed.config.digest)).get(PARENT, "")
    return Image(parsed.config.digest, target, found, parsed.layers, document, parent)


def check_platform(image: Image, text: str, wanted: platform.Platform | None) -> None:
    """NotFound in Docker's words where an image is for another platform than the wanted one."""
    if wanted and image.platform not in platform.vector(wanted):
        raise errdefs.NotFound(
            f"image with reference {text} was found but its platform ({image.platform}) "
            f"does not match the specified platform ({wanted})"
        )


def check_layers(number: int, document: dict[str, Any]) -> None:
    """A manifest has the layers that its config names, and no more than a kernel can stack."""
    named = len(document["rootfs"]["diff_ids"])
    if named != number:
        raise errdefs.InvalidArgument(
            f"invalid manifest, layers length mismatch: expected {number}, got {named}; its config names {named}"
        )
    if number > MAX_LAYERS:
        raise errdefs.InvalidArgument(f"max depth exceeded: {number} layers, more than {MAX_LAYERS}")
