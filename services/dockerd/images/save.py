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
from services.dockerd.images.read import check_platform
from services.dockerd.images.store import Images


async def save(images: Images, names: list[str], wanted: Platform | None = None) -> AsyncIterator[bytes]:
    """The archive of the named images, in pieces; NotFound before the first where an image or platform is missing."""
    chosen: dict[str, tuple[Image, list[reference.Reference]]] = {}
    for text in names:
        for image, name in _meant(images, text):
            check_platform(image, text, wanted)
            chosen.setdefault(image.id, (image, []))[1].extend([name] if name and name.tag else [])
    return _archive(images, [(image, list(dict.fromkeys(named))) for image, named in chosen.values()])


def _meant(images: Images, text: str) -> list[tuple[Image, reference.Reference | None]]:
    """What to write with which name: all of a bare repository's, without a name for an ID."""
    if reference.is_digest("sha256:" + text.removeprefix("sha256:")):
        return [(images.find(text), None)]
    name = reference.parse(text)
    if name == name.tagged():
        return [(images.find(text), name if str(name) in images.tags else None)]
    tags = sorted((tag for tag in images.tags.values() if tag.name.name == name.name), key=lambda tag: str(tag.name))
    return [(images.by_id[tag.image_id], tag.name) for tag in tags] or [(images.find(text), None)]


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
    saved = {image.id for image, _ in chosen}
    entries = [
        {
            "Config": _path(image.id),
            "RepoTags": [name.familiar for name in names] or None,
            "Layers": [_path(layer.digest) for layer in image.layers],
            **({"Parent": image.parent} if image.parent in saved else {}),
        }
        for image, names in chosen
    ]
    index = {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": []}
    index["manifests"] = [each for image, names in chosen for each in _index_entries(image, names)]
    documents = [(b"index.json", index), (b"manifest.json", entries), (b"oci-layout", {"imageLayoutVersion": "1.0.0"})]
    tags: dict[str, dict[str, str]] = {}
    for image, names in chosen:
        for name in names if image.diff_ids else ():
            tags.setdefault(name.familiar_name, {})[name.tag] = image.diff_ids[-1].removeprefix("sha256:")
    return [*documents, (b"repositories", tags)] if tags else documents


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
