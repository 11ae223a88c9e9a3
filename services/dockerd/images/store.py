"""The images of this engine: names and documents held in memory, kept true to docker-containerd's.

Answers by name, ID or prefix without a call. Unpacking is in unpack.py, the bytes of layers in sizes.py, what changes
images in its own files.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from protos import errdefs
from protos.containerd.services.events.v1 import events_pb2
from protos.containerd.services.images.v1 import images_pb2
from protos.containerd.services.leases.v1 import leases_pb2
from protos.containerd.types import descriptor_pb2
from services.dockerd.images import manifest, orphans, reference
from services.dockerd.images.image import Image
from services.dockerd.images.read import read_image
from services.dockerd.images.reference import Reference
from services.dockerd.remote.client import Client

log = logging.getLogger("images")

DANGLING: Final = "moby-dangling@"
"""Prefix of the containerd name that keeps an image which no longer has one of its own."""


class Emit(Protocol):
    """Appends an image event to the journal."""

    def __call__(self, action: str, image_id: str, attributes: dict[str, str]) -> object: ...


@dataclass(frozen=True, slots=True)
class Use:
    """A container's hold on an image."""

    container_id: str
    image_id: str
    image_name: str
    running: bool


@dataclass
class Tag:
    name: Reference
    image_id: str
    updated_at: float
    """Seconds since the epoch."""


@dataclass
class Images:
    """Index of all images. `uses` asks the engine which containers hold images; `emit` feeds its journal."""

    client: Client
    snapshotter: str = "overlayfs"
    rebases: bool = False
    """Whether it takes a layer whose parent is told when it is committed."""
    uses: Callable[[], Iterable[Use]] = lambda: ()
    emit: Emit = lambda action, image_id, attributes: None
    by_id: dict[str, Image] = field(default_factory=dict)
    by_target: dict[str, Image] = field(default_factory=dict)
    """The same by the digest of the manifest or index that a name points to: one image may have several."""
    tags: dict[str, Tag] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of each layer, by chain ID."""
    unpacked: set[str] = field(default_factory=set)
    _dangling: set[str] = field(default_factory=set)
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _returning: set[asyncio.Task[None]] = field(default_factory=set)
    """Leases to be given back once docker-containerd is there again, or its disk is not full any more."""
    _watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Let go of what the last life began, read all images, then follow changes that others make."""
        await orphans.forget(self.client)
        await self.refresh()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        ending = [*self._returning, *([self._watcher] if self._watcher else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    # reading

    def find(self, text: str) -> Image:
        """The image of a name, ID or unique ID prefix; NotFound and InvalidArgument in Docker's words."""
        if reference.is_digest(whole := "sha256:" + text.removeprefix("sha256:")):
            if whole not in self.by_id:
                raise errdefs.NotFound(f"No such image: {whole}")
            return self.by_id[whole]
        name = reference.parse(text)
        tagged = name.tagged()
        if (tag := self.tags.get(str(tagged))) is not None:
            return self.by_id[tag.image_id]
        if name.digest and (match := self._by_digest(name)) is not None:
            return match
        if reference.is_prefix(text):
            matches = [each for each in self.by_id if each[7:].startswith(text.removeprefix("sha256:"))]
            if len(matches) == 1:
                return self.by_id[matches[0]]
            if matches:
                raise errdefs.InvalidArgument(f"ambiguous image ID prefix: {text} stands for {len(matches)} images")
        raise errdefs.NotFound(f"No such image: {tagged.familiar}")

    def _by_digest(self, name: Reference) -> Image | None:
        for tag in self.tags.values():
            image = self.by_id[tag.image_id]
            if tag.name.name == name.name and name.digest in (image.target.digest, image.manifest.digest):
                return image
        return None

    def children(self, image: Image) -> list[Image]:
        """Images that were committed on this one."""
        return [each for each in self.by_id.values() if each.parent == image.id]

    def names(self, image: Image) -> list[Reference]:
        """The names of an image, sorted."""
        return sorted((tag.name for tag in self.tags.values() if tag.image_id == image.id), key=str)

    def stored_names(self, image: Image) -> list[str]:
        """The names docker-containerd has for an image, the one that keeps it when dangling included."""
        kept = [DANGLING + image.id] if DANGLING + image.id in self._dangling else []
        return [str(name) for name in self.names(image)] + kept

    def repo_tags(self, image: Image) -> list[str]:
        return [name.familiar for name in self.names(image) if name.tag]

    def repo_digests(self, image: Image) -> list[str]:
        """Names by the digest that a registry gave: `busybox@sha256:…`."""
        return sorted({f"{name.familiar_name}@{name.digest}" for name in self.names(image) if name.digest})

    # changing

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[str]:
        """Hold what is created meanwhile; what nothing refers to afterwards is collected."""
        labels = {"containerd.io/gc.expire": "2999-01-01T00:00:00Z", orphans.LABEL: "yes"}
        request = leases_pb2.CreateRequest(labels=labels)
        lease = (await self.client.call(self.client.leases.Create, request)).lease.id
        try:
            yield lease
        finally:
            try:
                await orphans.release(self.client, lease)
            except errdefs.EngineError as error:
                log.warning("lease not given back yet lease=%s error=%s", lease, error)
                self._give_back(lease)
            except asyncio.CancelledError:
                self._give_back(lease)
                raise

    def _give_back(self, lease: str) -> None:
        task = asyncio.create_task(orphans.release_later(self.client, lease), name=f"release {lease}")
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def name(self, name: str, target: manifest.Descriptor) -> None:
        """Point a containerd image name at a target, whatever it pointed to before."""
        pointer = descriptor_pb2.Descriptor(media_type=target.media_type, digest=target.digest, size=target.size)
        record = images_pb2.Image(name=name, target=pointer)
        try:
            await self.client.call(self.client.images.Create, images_pb2.CreateImageRequest(image=record))
        except errdefs.AlreadyExists:
            await self.client.call(self.client.images.Update, images_pb2.UpdateImageRequest(image=record))

    async def unname(self, name: str, *, collect: bool) -> None:
        """Drop a containerd image name; `collect` waits until what it held alone is gone."""
        request = images_pb2.DeleteImageRequest(name=name, sync=collect)
        await self.client.call(self.client.images.Delete, request)

    async def assign(self, name: Reference, image: Image) -> None:
        """Give `image` a name; the image that loses it stays, dangling if that was its last."""
        previous = self.tags.get(str(name))
        if previous and previous.image_id != image.id:
            loser = self.by_id[previous.image_id]
            if len(self.names(loser)) == 1:
                await self.name(DANGLING + loser.id, loser.target)
        await self.name(str(name), image.target)
        await self.refresh()
        if DANGLING + image.id in self._dangling:
            await self.unname(DANGLING + image.id, collect=False)
            await self.refresh()

    async def keep(self, image: Image) -> None:
        """Keep an image that has no name."""
        if image.id not in self.by_id:
            await self.name(DANGLING + image.id, image.target)
            await self.refresh()

    # keeping true

    async def refresh(self) -> None:
        """Read all names, and the documents of images that are new."""
        async with self._reading:
            await self._refresh()

    async def _refresh(self) -> None:
        listed = (await self.client.call(self.client.images.List, images_pb2.ListImagesRequest())).images
        by_id: dict[str, Image] = {}
        by_target: dict[str, Image] = {}
        tags: dict[str, Tag] = {}
        dangling: set[str] = set()
        for record in listed:
            image = self.by_target.get(record.target.digest) or await self._read(record)
            if image is None:
                continue
            by_target[record.target.digest] = image
            image = by_id.setdefault(image.id, image)
            if record.name.startswith(DANGLING):
                dangling.add(record.name)
                continue
            try:
                name = reference.parse(record.name)
            except errdefs.InvalidArgument:
                continue  # a name of containerd's other clients that Docker has no spelling for
            tags[record.name] = Tag(name, image.id, record.updated_at.ToNanoseconds() / 1e9)
        self.by_id, self.by_target, self.tags, self._dangling = by_id, by_target, tags, dangling

    async def _read(self, record: images_pb2.Image) -> Image | None:
        target = manifest.Descriptor(record.target.media_type, record.target.digest, record.target.size)
        try:
            return await read_image(self.client, target)
        except (errdefs.InvalidArgument, errdefs.NotFound) as error:
            log.warning("image skipped name=%s error=%s", record.name, error)
            return None

    async def _watch(self) -> None:
        while True:
            try:
                scope = f"namespace=={self.client.namespace},topic~=|^/images/|"
                request = events_pb2.SubscribeRequest(filters=[scope])
                async for _ in self.client.stream(self.client.events.Subscribe, request):
                    await self.refresh()
            except errdefs.EngineError as error:
                log.debug("image events interrupted error=%s", error)
            await asyncio.sleep(0.5)
            try:
                await self.refresh()
            except errdefs.EngineError as error:
                log.debug("images not read error=%s", error)
