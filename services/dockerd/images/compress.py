"""Layers compressed for a push: once, beside the layer they came from, and found again by its label."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Final

from services.dockerd.images import codec, content, manifest
from services.dockerd.images.manifest import Descriptor
from services.dockerd.remote.client import Client

_LABEL: Final = "moby/compressed"
_HOLD: Final = "containerd.io/gc.ref.content.compressed"
_LEVEL: Final = 2
"""Of ISA-L's 0 to 3: close to gzip's default in size, several times as quick."""


async def compressed(client: Client, layer: Descriptor, lease: str) -> Descriptor:
    """The layer as it goes to a registry: itself where it is compressed already."""
    if not await _is_plain(client, layer):
        return layer
    known = (await content.labels(client, layer.digest)).get(_LABEL, "")
    digest, _, size = known.partition(" ")
    if not digest or not await content.keep(client, lease, digest):
        digest, written = await content.write(
            client, f"compress-{secrets.token_hex(8)}", _gzip(content.pieces(client, layer.digest)), lease=lease
        )
        size = str(written)
        await content.label(client, layer.digest, {_LABEL: f"{digest} {size}", _HOLD: digest})
    return Descriptor(manifest.LAYER, digest, int(size))


async def _is_plain(client: Client, layer: Descriptor) -> bool:
    async for piece in content.pieces(client, layer.digest, length=codec.SNIFF):
        return not codec.format_of(piece)
    return True


async def _gzip(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A gzip stream with nothing of this moment in it: the same layer gives the same bytes."""
    from isal import isal_zlib  # only a push needs it

    made = isal_zlib.compressobj(_LEVEL, wbits=31)
    async for piece in source:
        if done := await asyncio.to_thread(made.compress, piece):
            yield done
    yield made.flush()
