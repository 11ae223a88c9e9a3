"""`docker load`: a docker archive, also as before 1.10, or an OCI layout, plain or compressed, as a stream.

Every file becomes content as it arrives (intake.py), held by a lease; the documents among them say afterwards which
were an image. What belongs to none is collected when the lease ends.
"""

import posixpath
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Final

from protos.errdefs import InvalidArgument, NotFound
from services.dockerd.images import codec, content, legacy, manifest, progress, reference
from services.dockerd.images.document import parse_config
from services.dockerd.images.image import Image
from services.dockerd.images.intake import Archive, Blob, take_in
from services.dockerd.images.manifest import Descriptor
from services.dockerd.images.platform import Platform
from services.dockerd.images.read import PARENT, check_layers, check_platform, read_image
from services.dockerd.images.store import Images
from services.dockerd.images.unpack import exists, unpack
from services.dockerd.images.write import write_manifest

_MOVED: Final = "The image {} already exists, renaming the old one with ID {} to empty string\n"
_NAME_KEYS: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


async def load(
    images: Images, body: AsyncIterable[bytes], *, quiet: bool, wanted: Platform | None = None
) -> AsyncIterator[bytes]:
    """Take an archive in, of an index the wanted platform or this machine's; yields progress records.

    Bad archives raise InvalidArgument before anything is named.
    """
    async with images.lease() as lease:
        archive = await take_in(images, body, lease)
        if "manifest.json" in archive.documents:
            found = await _docker_archive(images, archive, lease)
        elif "index.json" in archive.documents:
            found = await _oci_layout(images, archive, lease)
        elif "repositories" in archive.documents:
            found = await _legacy_archive(images, archive, lease)
        else:
            raise InvalidArgument("invalid archive: it has neither manifest.json nor index.json")
        for target, names in found:
            image = await read_image(images.client, target, wanted)
            check_platform(image, names[0].familiar if names else image.id, wanted)
            for layer, diff_id, chain_id in zip(image.layers, image.diff_ids, image.chain_ids, strict=False):
                if not quiet and not await exists(images, chain_id):
                    yield progress.bar("Loading layer", diff_id[7:19], layer.size, layer.size)
            await unpack(images, image, lease)
            for line in await _announce(images, image, names):
                yield line


async def _announce(images: Images, image: Image, names: list[reference.Reference]) -> list[bytes]:
    lines: list[bytes] = []
    for name in names:
        previous = images.tags.get(str(name))
        if previous and previous.image_id != image.id:
            lines.append(progress.stream(_MOVED.format(name.familiar, previous.image_id)))
        await images.assign(name, image)
        lines.append(progress.stream(f"Loaded image: {name.familiar}\n"))
    if not names:
        await images.keep(image)
        lines.append(progress.stream(f"Loaded image ID: {image.id}\n"))
    images.emit("load", image.id, {"name": image.id, **image.labels})
    return lines


Found = list[tuple[Descriptor, list[reference.Reference]]]


async def _docker_archive(images: Images, archive: Archive, lease: str) -> Found:
    entries = manifest.parse_json(archive.documents["manifest.json"], "invalid archive: manifest.json")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidArgument("invalid archive: manifest.json is not a list of objects")
    found: Found = []
    for entry in entries:
        names = [reference.parse(name).tagged() for name in _strings(entry, "RepoTags")]
        found.append((await _manifest_of(images, archive, entry, lease), names))
    await _link(images, archive, entries)
    return found


async def _link(images: Images, archive: Archive, entries: list[dict[str, Any]]) -> None:
    """Remember which image of the archive another one was committed on; one that is here already stays as it is."""
    ids = [archive.blob(posixpath.normpath(str(entry.get("Config")))).digest for entry in entries]
    for child, entry in zip(ids, entries, strict=True):
        parent = entry.get("Parent")
        if parent not in ids or parent == child or child in images.by_id:
            continue
        above, below = [await _diff_ids(images, each) for each in (child, str(parent))]
        if above[: len(below)] != below:
            raise InvalidArgument(f"invalid archive: manifest.json: {parent} is no parent of {child}")
        await content.label(images.client, child, {PARENT: str(parent)})


async def _diff_ids(images: Images, config: str) -> list[str]:
    document = parse_config(await content.read(images.client, config))
    return [str(each) for each in document["rootfs"].get("diff_ids") or []]


async def _manifest_of(images: Images, archive: Archive, entry: dict[str, Any], lease: str) -> Descriptor:
    """Write the manifest that an entry of manifest.json describes in its own way."""
    path = entry.get("Config")
    if not path or not isinstance(path, str):
        raise InvalidArgument("invalid archive: manifest.json: Config names no file")
    config = archive.blob(posixpath.normpath(path))
    paths = _strings(entry, "Layers")
    check_layers(len(paths), parse_config(await content.read(images.client, config.digest)))
    layers = [_layer(archive.blob(posixpath.normpath(path))) for path in paths]
    return await write_manifest(images, Descriptor(manifest.OCI_CONFIG, config.digest, config.size), layers, lease)


def _strings(entry: dict[str, Any], key: str) -> list[str]:
    found = entry.get(key) or []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise InvalidArgument(f"invalid archive: manifest.json: {key} is not a list of strings")
    return found


async def _legacy_archive(images: Images, archive: Archive, lease: str) -> Found:
    """What Docker wrote before 1.10."""
    documents = {path.removesuffix("/json"): await content.read(images.client, blob.digest)
                 for path, blob in archive.blobs.items() if path.endswith("/json")}
    found: dict[str, tuple[Descriptor, list[reference.Reference]]] = {}
    for name, image_id in legacy.tags(archive.documents["repositories"]):
        if image_id not in found:
            found[image_id] = (await _legacy_image(images, archive, legacy.chain(image_id, documents), lease), [])
        found[image_id][1].append(reference.parse(name))
    return list(found.values())


async def _legacy_image(images: Images, archive: Archive, chain: list[dict[str, Any]], lease: str) -> Descriptor:
    layers = [_layer(archive.blob(f"{document['id']}/layer.tar")) for document in chain]
    if any(layer.media_type != manifest.OCI_LAYER for layer in layers):
        raise InvalidArgument("invalid archive: compressed layers in an archive without manifest.json")
    data = legacy.config(chain, [layer.digest for layer in layers])
    digest, size = await content.write_bytes(images.client, data, lease=lease)
    return await write_manifest(images, Descriptor(manifest.OCI_CONFIG, digest, size), layers, lease)


def _layer(blob: Blob) -> Descriptor:
    compression = codec.format_of(blob.head)
    if compression not in ("", "gzip", "zstd"):
        raise InvalidArgument(f"invalid archive: layers compressed by {compression} are not supported")
    return Descriptor(manifest.OCI_LAYER + (f"+{compression}" if compression else ""), blob.digest, blob.size)


async def _oci_layout(images: Images, archive: Archive, lease: str) -> Found:
    present = {blob.digest for blob in archive.blobs.values()}
    found: Found = []
    for entry, _ in manifest.parse_index(archive.documents["index.json"]):
        if entry.digest not in present:
            raise InvalidArgument(f"invalid archive: blob {entry.digest} of index.json is missing")
        await _hold(images, entry, present)
        found.append((entry, _names(entry)))
    if not found:
        raise NotFound("invalid archive: index.json names no manifest")
    return found


async def _hold(images: Images, entry: Descriptor, present: set[str]) -> None:
    """Label a manifest or index with what it refers to, so that collection follows."""
    data = await content.read(images.client, entry.digest)
    labels: dict[str, str] = {}
    if manifest.is_index(entry.media_type, data):
        for number, (child, _) in enumerate(manifest.parse_index(data)):
            if child.digest in present:
                labels[f"containerd.io/gc.ref.content.m.{number}"] = child.digest
                await _hold(images, child, present)
    else:
        parsed = manifest.parse_manifest(data)
        for number, child in enumerate((parsed.config, *parsed.layers)):
            if child.digest not in present:
                raise InvalidArgument(f"invalid archive: blob {child.digest} of manifest {entry.digest} is missing")
            labels["containerd.io/gc.ref.content." + (f"l.{number - 1}" if number else "config")] = child.digest
    await content.label(images.client, entry.digest, labels)


def _names(entry: Descriptor) -> list[reference.Reference]:
    annotations = dict(entry.annotations)
    for key in _NAME_KEYS:
        if value := annotations.get(key):
            return [reference.parse(value).tagged()] if key == _NAME_KEYS[0] or "/" in value or ":" in value else []
    return []
