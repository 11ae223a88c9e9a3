"""`docker pull`: a manifest from the first address that has it, its blobs at once, layers unpacked as they come."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Final

from protos import errdefs
from services.dockerd.images import content, manifest, platform, progress
from services.dockerd.images.bars import Bars
from services.dockerd.images.document import parse_config
from services.dockerd.images.downloads import Downloads
from services.dockerd.images.image import Image
from services.dockerd.images.manifest import Descriptor
from services.dockerd.images.platform import Platform
from services.dockerd.images.read import check_platform, read_image
from services.dockerd.images.reference import Reference
from services.dockerd.images.said import Say, records
from services.dockerd.images.store import Images
from services.dockerd.images.together import together
from services.dockerd.images.unpack import exists, unpack
from services.dockerd.images.write import write_document
from services.dockerd.registry import addresses, errors, repository
from services.dockerd.registry.credentials import Credentials
from services.dockerd.registry.hosts import Endpoint
from services.dockerd.registry.repository import Fetched, Repository
from services.dockerd.registry.settings import Settings

log = logging.getLogger("images")

_CONFIGS: Final = frozenset(
    {manifest.CONFIG, manifest.OCI_CONFIG, "application/octet-stream", "application/json", "text/html", ""}
)
"""Media types of image configs, some as old registries sent them. Others are charts, plugins, models."""
_PLUGIN: Final = "application/vnd.docker.plugin.v1+json"
_SCHEMA1: Final = (
    "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed. "
    "Suggest the author of {} to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2. "
    "More information at https://docs.docker.com/go/deprecated-image-specs/"
)


@dataclass
class Pull:
    """One request. `say` takes the records a client draws."""

    images: Images
    downloads: Downloads
    settings: Settings
    name: Reference
    credentials: Credentials
    platform: Platform | None
    say: Say
    _bars: Bars = field(init=False)

    def __post_init__(self) -> None:
        self._bars = Bars(self.say)

    async def run(self, *, all_tags: bool) -> None:
        async def ask(endpoint: Endpoint) -> None:
            async with repository.opened(endpoint, self.name.path, self.credentials, self.settings) as source:
                await (self._all(source) if all_tags else self._one(source))
            log.info("pulled name=%s from=%s", self.name.familiar, endpoint.base)

        try:
            await addresses.first(self.name.domain, self.settings, ask)
        except errdefs.EngineError as error:
            raise errors.of_pull(error, self.name) from error

    async def _all(self, source: Repository) -> None:
        names = [replace(self.name, tag=tag) for tag in await source.tags()]
        self._tell(any([await self._name(source, name) for name in names]))

    async def _one(self, source: Repository) -> None:
        self._tell(await self._name(source, self.name))

    def _tell(self, fresh: bool) -> None:
        text = "Downloaded newer image" if fresh else "Image is up to date"
        self.say(progress.status(f"Status: {text} for {self.name.familiar}"))

    async def _name(self, source: Repository, name: Reference) -> bool:
        """Pull one name; whether it now means another image than before."""
        digest, image = await self._present(source, name) or await self._fetch(source, name)
        digested = replace(name, tag="", digest=digest)
        previous = self.images.tags.get(str(name))
        for each in dict.fromkeys((name, digested)):
            await self.images.assign(each, image)
        self.say(progress.status(f"Digest: {digest}"))
        self.images.emit("pull", name.familiar, {"name": name.familiar_name, **image.labels})
        return previous is None or previous.image_id != image.id

    async def _present(self, source: Repository, name: Reference) -> tuple[str, Image] | None:
        """Digest and image of a tag that are here already; registries limit how often manifests are fetched."""
        if not name.tag or not any(tag.name.digest and tag.name.name == name.name for tag in self.images.tags.values()):
            return None
        try:
            found = await source.head(name.tag)
        except errors.Refused:
            return None  # the question with an answer in words says why
        tag = self.images.tags.get(str(replace(name, tag="", digest=found.digest))) if found else None
        image = self.images.by_id[tag.image_id] if tag else None
        wanted = self.platform or platform.default()
        if not found or not image or image.chain_id not in self.images.unpacked or image.platform != wanted:
            return None
        self.say(progress.titled(f"Pulling from {name.path}", name.tag))
        return found.digest, image

    async def _fetch(self, source: Repository, name: Reference) -> tuple[str, Image]:
        found = await self._resolve(source, name)
        chosen = await self._choose(source, found, name)
        self.say(progress.titled(f"Pulling from {name.path}", str(name) if name.digest else name.tag))
        return found.descriptor.digest, await self._take(source, chosen, name)

    async def _resolve(self, source: Repository, name: Reference) -> Fetched:
        found = await source.manifest(name.digest or name.tag)
        if found.descriptor.media_type in (manifest.SCHEMA1, manifest.SCHEMA1_SIGNED):
            raise errdefs.InvalidArgument(_SCHEMA1.format(name))
        return found

    async def _choose(self, source: Repository, found: Fetched, name: Reference) -> Fetched:
        """The manifest of the wanted platform."""
        if not manifest.is_index(found.descriptor.media_type, found.data):
            return found
        chosen = platform.choose(manifest.parse_index(found.data), self.platform)
        if chosen is None:
            wanted = self.platform or platform.default()
            raise errdefs.NotFound(f"no matching manifest for {wanted} in the manifest list entries")
        fetched = await self._resolve(source, replace(name, digest=chosen.digest))
        if manifest.is_index(fetched.descriptor.media_type, fetched.data):
            raise errdefs.InvalidArgument(f"index {found.descriptor.digest} names another index for its platform")
        return fetched

    async def _take(self, source: Repository, chosen: Fetched, name: Reference) -> Image:
        """All of one image, unpacked."""
        parsed = manifest.parse_manifest(chosen.data)
        if parsed.config.media_type not in _CONFIGS:
            kind = "plugin" if parsed.config.media_type == _PLUGIN else "unknown"
            raise errdefs.InvalidArgument(f'Encountered remote "{parsed.config.media_type}"({kind}) when fetching')
        known = self.images.by_target.get(chosen.descriptor.digest)
        if known and known.chain_id in self.images.unpacked:
            return known
        async with self.images.lease() as lease:
            await self.downloads.fetch(source, parsed.config, lease, _silent)
            document = parse_config(await content.read(self.images.client, parsed.config.digest))
            image = Image(parsed.config.digest, chosen.descriptor, chosen.descriptor, parsed.layers, document)
            self._check(image, name)
            await write_document(self.images, chosen.data, parsed.config, list(parsed.layers), lease)
            await self._layers(source, image, lease)
            image = await read_image(self.images.client, chosen.descriptor)
            await self.images.keep(image)
        return image

    def _check(self, image: Image, name: Reference) -> None:
        check_platform(image, name.familiar, self.platform)
        if image.os != "linux":
            raise errdefs.InvalidArgument(f'image operating system "{image.os}" cannot be used on this platform: '
                                          "operating system is not supported")

    async def _layers(self, source: Repository, image: Image, lease: str) -> None:
        """Layers in parallel, unpacked in order; the first failure ends the others."""
        chains = dict(zip(image.layers, image.chain_ids, strict=False))
        for layer, chain_id in chains.items():
            here = await content.keep(self.images.client, lease, layer.digest) and await exists(self.images, chain_id)
            self._bar(layer, "Already exists" if here else "Pulling fs layer")
        async with together() as group:
            fetching = {layer: group.create_task(self._layer(source, layer, lease)) for layer in chains}
            await unpack(
                self.images, image, lease, ready=lambda layer: fetching[layer], report=self._bar
            )

    async def _layer(self, source: Repository, layer: Descriptor, lease: str) -> None:
        if layer.media_type.startswith((manifest.FOREIGN, manifest.OCI_FOREIGN)):
            raise errdefs.InvalidArgument(
                f"layer {layer.digest} is foreign: layers from other places than the registry are not fetched"
            )
        if not await content.keep(self.images.client, lease, layer.digest):
            await self.downloads.fetch(source, layer, lease, lambda *state: self._bar(layer, *state))

    def _bar(self, layer: Descriptor, text: str, current: int = 0, total: int = 0) -> None:
        self._bars.tell(layer.digest[7:19], text, current, total)


def _silent(text: str, current: int, total: int) -> None:
    """A config has no bar."""


def pull(
    images: Images,
    downloads: Downloads,
    settings: Settings,
    name: Reference,
    *,
    credentials: Credentials,
    wanted: Platform | None,
    all_tags: bool,
) -> AsyncIterator[bytes]:
    """Records as they come. A client that goes away ends the pull, and downloads that nobody else waits for."""
    return records(
        lambda say: Pull(images, downloads, settings, name, credentials, wanted, say).run(all_tags=all_tags)
    )
