"""`docker save`: images as a tar that is an OCI layout and a docker archive at once.

Blobs go out as they are stored, so a saved and loaded image keeps its ID.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

from protos import tar
from protos.containerd.services.content.v1 import content_pb2
from services.dockerd.images import content, manifest, reference
from services.dockerd.images.image import Image
from services.dockerd.images.platform import Platform
from services.dockerd.images.store import Images, check_platform


async def save(images: Images, names: list[str], wanted: Platform | None = None) -> AsyncIterator[bytes]:
    """The archive of the named images, in pieces; NotFound before the first where an image or platform is missing."""
    chosen: dict[str, tuple[Image, list[reference.Reference]]] = {}
    for text in names:
        image = images.find(text)
        check_platform(image, text, wanted)
        chosen.setdefault(image.id, (image, []))[1].extend(_wanted(images, image, text))
    return _archive(images, list(chosen.values()))


def _wanted(images: Images, image: Image, text: str) -> list[reference.Reference]:
    """The names to write: the one asked for, all of a bare repository's, none for an ID."""
    if reference.is_prefix(text) and str(_parsed(text)) not in images.tags:
        return []
    name = reference.parse(text)
    return [each for each in images.names(image) if each == name.tagged()]


def _parsed(text: str) -> reference.Reference | None:
    return None if reference.is_digest(text) or len(text) == 64 else reference.parse(text).tagged()


async def _archive(images: Images, chosen: list[tuple[Image, list[reference.Reference]]]) -> AsyncIterator[bytes]:
    written: set[str] = set()
    yield tar.encode(tar.Header(b"blobs/", tar.DIRECTORY, 0o755))
    yield tar.encode(tar.Header(b"blobs/sha256/", tar.DIRECTORY, 0o755))
    for image, _ in chosen:
        blobs = [(image.manifest.digest, None), (image.id, None), *((each.digest, each.size) for each in image.layers)]
        for digest, size in blobs:
            if digest not in written:
                written.add(digest)
                async for piece in _blob(images, digest, size):
                    yield piece
    for name, document in _documents(chosen):
        data = json.dumps(document, separators=(",", ":")).encode()
        yield tar.encode(tar.Header(name, size=len(data))) + data + bytes(-len(data) % tar.BLOCK)
    yield bytes(2 * tar.BLOCK)


async def _blob(images: Images, digest: str, size: int | None) -> AsyncIterator[bytes]:
    name = b"blobs/sha256/" + digest.removeprefix("sha256:").encode()
    if size is None:
        data = await content.read(images.client, digest)
        yield tar.encode(tar.Header(name, size=len(data))) + data + bytes(-len(data) % tar.BLOCK)
        return
    yield tar.encode(tar.Header(name, size=size))
    request = content_pb2.ReadContentRequest(digest=digest)
    async for reply in images.client.stream(images.client.content.Read, request):
        yield reply.data
    yield bytes(-size % tar.BLOCK)


def _documents(chosen: list[tuple[Image, list[reference.Reference]]]) -> list[tuple[bytes, Any]]:
    entries = [
        {
            "Config": _path(image.id),
            "RepoTags": [name.familiar for name in names] or None,
            "Layers": [_path(layer.digest) for layer in image.layers],
        }
        for image, names in chosen
    ]
    index = {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": []}
    index["manifests"] = [each for image, names in chosen for each in _index_entries(image, names)]
    return [(b"index.json", index), (b"manifest.json", entries), (b"oci-layout", {"imageLayoutVersion": "1.0.0"})]


def _index_entries(image: Image, names: list[reference.Reference]) -> list[dict[str, Any]]:
    entry = image.manifest.document()
    if not names:
        return [entry]
    return [
        entry
        | {"annotations": {"io.containerd.image.name": str(name), "org.opencontainers.image.ref.name": name.tag}}
        for name in names
    ]


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
