"""An archive of images as it arrives: its files become content, the few documents that name them are kept at hand."""

import posixpath
import secrets
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from protos import tar
from protos.errdefs import InvalidArgument
from services.dockerd.images import codec, content, manifest, tarball
from services.dockerd.images.store import Images

_DOCUMENTS: Final = frozenset({"manifest.json", "index.json", "repositories", "oci-layout"})


@dataclass(slots=True)
class Blob:
    digest: str
    size: int
    head: bytes


@dataclass(slots=True)
class Archive:
    """What an archive held: documents by name, blobs and links by path."""

    documents: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def blob(self, path: str) -> Blob:
        for _ in range(8):  # docker save of old links a shared layer.tar to another
            if path in self.blobs:
                return self.blobs[path]
            if path not in self.links:
                break
            path = self.links[path]
        raise InvalidArgument(f"invalid archive: {path} is missing")


async def take_in(images: Images, body: AsyncIterable[bytes], lease: str) -> Archive:
    """All of it, plain or compressed; InvalidArgument where it is no archive or breaks off."""
    archive, run = Archive(), secrets.token_hex(8)
    reader = codec.Reader(codec.plain(body))
    async for header in tarball.entries(reader):
        path = posixpath.normpath(header.name.decode(errors="surrogateescape")).lstrip("/")
        if header.type in (tar.SYMLINK, tar.HARD_LINK):
            base = posixpath.dirname(path) if header.type == tar.SYMLINK else ""
            archive.links[path] = posixpath.normpath(posixpath.join(base, header.link.decode(errors="surrogateescape")))
        if header.type != tar.REGULAR:
            async for _ in reader.pieces(header.size, content.CHUNK):
                pass
        elif path in _DOCUMENTS:
            if header.size > manifest.LIMIT:
                raise InvalidArgument(f"invalid archive: {path} is larger than {manifest.LIMIT} bytes")
            archive.documents[path] = await reader.exactly(header.size)
        else:
            archive.blobs[path] = await _ingest(images, reader, header.size, f"load-{run}-{len(archive.blobs)}", lease)
    return archive


async def _ingest(images: Images, reader: codec.Reader, size: int, ref: str, lease: str) -> Blob:
    head = await reader.exactly(min(codec.SNIFF, size))

    async def data() -> AsyncIterator[bytes]:
        yield head
        async for piece in reader.pieces(size - len(head), content.CHUNK):
            yield piece

    digest, written = await content.write(images.client, ref, data(), lease=lease)
    return Blob(digest, written, head)
