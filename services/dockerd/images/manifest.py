"""Manifests, indexes and image configs as documents: read strictly, because they come from outside. Pure.

Sources: OCI image-spec 1.1 and Docker's schema 2. Nothing here touches the network or the content store.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from protos.errdefs import InvalidArgument
from services.dockerd.images.reference import is_digest

LIMIT: Final = 4 << 20
"""Bytes a manifest, index or config may have."""

MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
MANIFEST_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
SCHEMA1: Final = "application/vnd.docker.distribution.manifest.v1+json"
SCHEMA1_SIGNED: Final = "application/vnd.docker.distribution.manifest.v1+prettyjws"
CONFIG: Final = "application/vnd.docker.container.image.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
EMPTY: Final = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
"""Diff ID of a layer without an entry, which Docker leaves out of what is committed."""
LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
FOREIGN: Final = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
OCI_FOREIGN: Final = "application/vnd.oci.image.layer.nondistributable.v1.tar"


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Descriptor:
    media_type: str
    digest: str
    size: int
    annotations: tuple[tuple[str, str], ...] = ()

    def document(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, slots=True)
class Manifest:
    config: Descriptor
    layers: tuple[Descriptor, ...]


def load_json(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object; InvalidArgument saying `what` it was to be otherwise."""
    if len(data) > LIMIT:
        raise InvalidArgument(f"{what} is larger than {LIMIT} bytes")
    document = parse_json(data, what)
    if not isinstance(document, dict):
        raise InvalidArgument(f"{what} is not a JSON object")
    return document


def parse_json(data: bytes, what: str) -> Any:
    """Any JSON, as Go reads it: numbers are numbers, and text is text whatever its bytes."""
    try:
        found = json.loads(data.decode(errors="replace"), parse_constant=_no_number)
        return _text(found) if rb"\ud" in data.lower() else found
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{what} is not valid JSON: {error}") from error


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is not a number")


def _text(value: Any) -> Any:
    """The same without halves of surrogate pairs, which cannot be encoded."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_text(each) for each in value]
    if isinstance(value, dict):
        return {_text(key): _text(each) for key, each in value.items()}
    return value


def _keys(document: dict[str, Any]) -> set[str]:
    """In lower case: to Go's decoder `Layers` is `layers`."""
    return {key.lower() for key in document}


def descriptor(document: Any, what: str) -> Descriptor:
    if not isinstance(document, dict):
        raise InvalidArgument(f"{what} is not a descriptor")
    digest, size = document.get("digest"), document.get("size")
    if not isinstance(digest, str) or not is_digest(digest):
        raise InvalidArgument(f"{what} has no valid digest: {digest!r}")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidArgument(f"{what} has no valid size: {size!r}")
    annotations = document.get("annotations") or {}
    pairs = tuple((str(key), str(value)) for key, value in annotations.items()) if isinstance(annotations, dict) else ()
    return Descriptor(str(document.get("mediaType") or ""), digest, size, pairs)


def _descriptors(document: dict[str, Any], key: str, what: str) -> tuple[Descriptor, ...]:
    items = document.get(key)
    if not isinstance(items, list):
        raise InvalidArgument(f"{what} has no list of {key}")
    return tuple(descriptor(item, f"{what}: {key}[{number}]") for number, item in enumerate(items))


def parse_manifest(data: bytes) -> Manifest:
    """A manifest; a document that could be read as an index as well is refused (CVE-2021-41190)."""
    document = load_json(data, "image manifest")
    if "manifests" in _keys(document):
        raise InvalidArgument("image manifest is ambiguous: it has both layers and manifests")
    return Manifest(
        descriptor(document.get("config"), "image manifest: config"), _descriptors(document, "layers", "image manifest")
    )


def parse_index(data: bytes) -> tuple[tuple[Descriptor, dict[str, Any]], ...]:
    """The manifests of an index, each with its platform as written (empty where it names none)."""
    document = load_json(data, "image index")
    if _keys(document) & {"layers", "config", "fslayers"}:
        raise InvalidArgument("image index is ambiguous: it has both manifests and layers")
    found = _descriptors(document, "manifests", "image index")
    platforms = [item.get("platform") or {} for item in document["manifests"]]
    if not all(isinstance(each, dict) for each in platforms):
        raise InvalidArgument("image index: a platform is not an object")
    return tuple(zip(found, platforms, strict=True))


def kind_of(media_type: str, data: bytes) -> str:
    """The media type of a manifest or index that was sent as `media_type`; InvalidArgument where its bytes say another.

    A document must not be readable as two kinds (CVE-2021-41190).
    """
    if media_type in (SCHEMA1, SCHEMA1_SIGNED):
        return media_type
    document = load_json(data, "image manifest")
    if document.get("schemaVersion") == 1:
        return SCHEMA1
    within = document.get("mediaType")
    known = media_type in (MANIFEST, OCI_MANIFEST, MANIFEST_LIST, OCI_INDEX)
    if within is not None and not isinstance(within, str):
        raise InvalidArgument("image manifest: mediaType is not a string")
    if known and within and within != media_type:
        raise InvalidArgument(f"image manifest was sent as {media_type} but says it is {within}")
    if known or within:
        return media_type if known else str(within)
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST


def is_index(media_type: str, data: bytes) -> bool:
    """By media type, and where there is none by what the document holds."""
    if media_type:
        return media_type in (OCI_INDEX, MANIFEST_LIST)
    return "manifests" in load_json(data, "image manifest")


def chain_ids(diff_ids: list[str]) -> tuple[str, ...]:
    """Names of the snapshots of a chain of layers, bottom first (OCI image-spec, 'Layer ChainID')."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(digest_of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)


def encode(config: Descriptor, layers: list[Descriptor]) -> bytes:
    """An OCI manifest document for a config and its layers, in the order of the chain."""
    return _encode(OCI_MANIFEST, config, layers)


def encode_schema2(config: Descriptor, layers: list[Descriptor]) -> bytes:
    """The same in Docker's schema 2, which every registry takes."""
    return _encode(MANIFEST, config, layers)


def _encode(kind: str, config: Descriptor, layers: list[Descriptor]) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": config.document(),
        "layers": [layer.document() for layer in layers],
    }
    return json.dumps(document, separators=(",", ":")).encode()
