"""`docker push`: layers that the registry lacks, the config, then the manifest that names them.

Content goes out as it is stored. A layer that came uncompressed is compressed at its first push, and that is kept.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from protos import errdefs
from services.dockerd.images import compress, content, manifest, progress
from services.dockerd.images.bars import Bars
from services.dockerd.images.downloads import source_labels
from services.dockerd.images.image import Image
from services.dockerd.images.manifest import Descriptor
from services.dockerd.images.reference import Reference
from services.dockerd.images.said import Say, records
from services.dockerd.images.store import Images
from services.dockerd.images.together import together
from services.dockerd.images.turns import Turns
from services.dockerd.images.write import write_document
from services.dockerd.registry import addresses, errors, repository
from services.dockerd.registry.credentials import Credentials
from services.dockerd.registry.hosts import Endpoint
from services.dockerd.registry.repository import Repository
from services.dockerd.registry.settings import Settings

log = logging.getLogger("images")


@dataclass
class Push:
    """One request. `say` takes the records a client draws."""

    images: Images
    settings: Settings
    turns: Turns
    name: Reference
    credentials: Credentials
    say: Say
    _bars: Bars = field(init=False)

    def __post_init__(self) -> None:
        self._bars = Bars(self.say)

    def _names(self, *, all_tags: bool) -> list[Reference]:
        """What is to be pushed; NotFound in Docker's words where nothing is."""
        if all_tags:
            found = sorted((tag.name for tag in self.images.tags.values() if tag.name.name == self.name.name
                            and tag.name.tag), key=str)
        else:
            found = [self.name]
        if not any(tag.name.name == self.name.name for tag in self.images.tags.values()):
            raise errdefs.NotFound(f"An image does not exist locally with the tag: {self.name.familiar_name}")
        if not all(str(name) in self.images.tags for name in found):
            raise errdefs.NotFound(f"tag does not exist: {self.name.familiar}")
        return found

    async def run(self, *, all_tags: bool) -> None:
        self.say(progress.status(f"The push refers to repository [{self.name.name}]"))
        names = self._names(all_tags=all_tags)

        async def ask(endpoint: Endpoint) -> None:
            async with repository.opened(
                endpoint, self.name.path, self.credentials, self.settings, push=True
            ) as target:
                for name in names:
                    await self._one(target, name)

        await addresses.first(self.name.domain, self.settings, ask, push=True)

    async def _one(self, target: Repository, name: Reference) -> None:
        image = self.images.by_id[self.images.tags[str(name)].image_id]
        layers = list(zip(image.layers, image.diff_ids, strict=True))
        for key in dict.fromkeys(diff_id for _, diff_id in reversed(layers)):
            self.say(progress.status("Preparing", key[7:19]))
        async with self.images.lease() as lease:
            sent: dict[str, asyncio.Task[Descriptor]] = {}
            async with together() as group:
                for layer, diff_id in layers:
                    if layer.digest not in sent:
                        sent[layer.digest] = group.create_task(self._layer(target, layer, diff_id, lease))
            pushed = [sent[layer.digest].result() for layer, _ in layers]
            document, config = await self._manifest(image, pushed)
            await self._config(target, config)
            digest = await target.put(name.tag, manifest.kind_of("", document), document)
            descriptor = await write_document(self.images, document, config, pushed, lease)
            stored = replace(image, target=descriptor, manifest=descriptor)
            await self.images.assign(replace(name, tag="", digest=digest), stored)
        self.say(progress.status(f"{name.tag}: digest: {digest} size: {len(document)}"))
        self.say(progress.aux({"Tag": name.tag, "Digest": digest, "Size": len(document)}))
        self.images.emit("push", name.familiar, {"name": name.familiar_name, **image.labels})

    async def _manifest(self, image: Image, layers: list[Descriptor]) -> tuple[bytes, Descriptor]:
        """The image's own manifest where its layers go out as they are, else one of Docker's schema 2."""
        data = await content.read(self.images.client, image.manifest.digest)
        config = manifest.parse_manifest(data).config
        if [layer.digest for layer in layers] == [layer.digest for layer in image.layers]:
            return data, config
        config = replace(config, media_type=manifest.CONFIG)
        return manifest.encode_schema2(config, layers), config

    async def _layer(self, target: Repository, layer: Descriptor, diff_id: str, lease: str) -> Descriptor:
        key = diff_id[7:19]
        if self.turns.full:
            self.say(progress.status("Waiting", key))
        async with self.turns.one():
            chosen = await compress.compressed(self.images.client, layer, lease)
            said = await self._send(target, chosen, key)
            await content.label(self.images.client, chosen.digest, await self._sources(target, chosen.digest))
        self.say(progress.status(said, key))
        return chosen

    async def _send(self, target: Repository, layer: Descriptor, key: str) -> str:
        """Have a layer in the registry; what to tell of it."""
        if await target.has(layer.digest):
            return "Layer already exists"
        upload = ""
        for source in await self._elsewhere(target, layer.digest):
            upload = await target.mount(layer.digest, source)
            if not upload:
                return f"Mounted from {source}"
            await target.cancel(upload)
        await self._upload(target, layer, lambda sent: self._bars.tell(key, "Pushing", sent, layer.size))
        return "Pushed"

    async def _upload(self, target: Repository, blob: Descriptor, tell: Callable[[int], None]) -> None:
        """Send a blob, again with a pause where the way there breaks."""
        for attempt in range(1, self.settings.attempts + 1):
            try:
                await target.upload(await target.begin(), self._pieces(blob, tell), blob.digest)
                return
            except (errors.Unreachable, errors.Refused) as error:
                passing = error.passing if isinstance(error, errors.Refused) else True
                expired = isinstance(error, errors.Refused) and error.status == 401 and attempt == 1
                if attempt == self.settings.attempts or not (passing or expired):
                    raise
                log.info("upload broke off digest=%s attempt=%d error=%s", blob.digest, attempt, error)
                await asyncio.sleep(min(2 ** (attempt - 1), 30))

    async def _pieces(self, blob: Descriptor, tell: Callable[[int], None]) -> AsyncIterator[bytes]:
        sent = 0
        async for piece in content.pieces(self.images.client, blob.digest):
            yield piece
            sent += len(piece)
            tell(sent)

    async def _config(self, target: Repository, config: Descriptor) -> None:
        if not await target.has(config.digest):
            await self._upload(target, config, lambda sent: None)

    async def _elsewhere(self, target: Repository, digest: str) -> list[str]:
        """Other repositories of this registry that the blob is known to be in."""
        label = next(iter(source_labels(target, [])))
        labels = await content.labels(self.images.client, digest)
        return [path for path in labels.get(label, "").split(",") if path and path != target.path][:3]

    async def _sources(self, target: Repository, digest: str) -> dict[str, str]:
        label = next(iter(source_labels(target, [])))
        known = (await content.labels(self.images.client, digest)).get(label, "")
        return source_labels(target, [path for path in known.split(",") if path])


def push(
    images: Images, settings: Settings, turns: Turns, name: Reference, *, credentials: Credentials, all_tags: bool
) -> AsyncIterator[bytes]:
    """Records as they come; failures too, behind the first of them."""

    async def work(say: Say) -> None:
        try:
            await Push(images, settings, turns, name, credentials, say).run(all_tags=all_tags)
        except errdefs.EngineError as error:
            raise errors.of_push(error, name) from error

    return records(work)
