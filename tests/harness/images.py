"""Images made by hand: docker archives and OCI layouts with any config and any layers, as bytes of a tar."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from deploy import image

Files = Mapping[str, bytes | tarfile.TarInfo]


def pack(files: Files) -> bytes:
    """A layer or an archive: a file's bytes, or a TarInfo for anything else; a name ending in / is a directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, body in files.items():
            if isinstance(body, tarfile.TarInfo):
                body.name = name
                tar.addfile(body)
                continue
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.mode, entry.size, entry.mtime = 0o755, len(body), 1_600_000_000
            entry.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            tar.addfile(entry, io.BytesIO(body))
    return out.getvalue()


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo()
    entry.type, entry.linkname, entry.mode = kind, target, 0o777
    return entry


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def document(layers: Sequence[bytes], config: Mapping[str, Any], **more: Any) -> bytes:
    diff_ids = [digest(layer) for layer in layers]
    history = [{"created": image.CREATED, "created_by": f"layer {number}"} for number in range(len(layers))]
    base = {
        **image.config(""),
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    }
    return json.dumps({**base, **more}).encode()


def docker_archive(
    name: str, config: Mapping[str, Any], *more_layers: bytes, base: bool = True, **fields: Any
) -> bytes:
    """As `docker save` writes it; on top of busybox unless `base` is false."""
    layers = [*([image.layer()] if base else []), *more_layers]
    body = document(layers, config, **fields)
    names = [f"{digest(layer)[7:]}/layer.tar" for layer in layers]
    manifest = [{"Config": f"{digest(body)[7:]}.json", "RepoTags": [name], "Layers": names}]
    blobs = dict(zip(names, layers, strict=True))
    return pack({**blobs, f"{digest(body)[7:]}.json": body, "manifest.json": json.dumps(manifest).encode()})


def oci_layout(name: str, config: Mapping[str, Any], *more_layers: bytes) -> bytes:
    """An OCI image layout with gzip layers, its reference in the index's annotations."""
    layers = [image.layer(), *more_layers]
    blobs = {}

    def blob(data: bytes, kind: str) -> dict[str, Any]:
        blobs[f"blobs/sha256/{digest(data)[7:]}"] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(data), "size": len(data)}

    packed = [blob(gzip.compress(layer, 1, mtime=0), "layer.v1.tar+gzip") for layer in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(document(layers, config), "config.v1+json"),
        "layers": packed,
    }
    target = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    reference = {
        "io.containerd.image.name": f"docker.io/library/{name}",
        "org.opencontainers.image.ref.name": name.split(":")[1],
    }
    index = {"schemaVersion": 2, "manifests": [{**target, "annotations": reference}]}
    return pack({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode(), **blobs})


MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST, OCI_INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"


def manifest(config: bytes, layers: Sequence[bytes], kind: str = MANIFEST) -> bytes:
    """The manifest of a config and layers as a registry serves them, compressed or not."""
    oci = kind == OCI_MANIFEST
    config_kind = f"application/vnd.{'oci.image.config' if oci else 'docker.container.image'}.v1+json"

    def layer_kind(blob: bytes) -> str:
        if not oci:
            return "application/vnd.docker.image.rootfs.diff.tar.gzip"
        packed = {b"\x1f\x8b": "+gzip", b"\x28\xb5": "+zstd"}.get(blob[:2], "")
        return f"application/vnd.oci.image.layer.v1.tar{packed}"

    rows = [{"mediaType": layer_kind(each), "digest": digest(each), "size": len(each)} for each in layers]
    return json.dumps({
        "schemaVersion": 2, "mediaType": kind,
        "config": {"mediaType": config_kind, "digest": digest(config), "size": len(config)}, "layers": rows,
    }).encode()


def small(*texts: str, **config: Any) -> tuple[bytes, list[bytes]]:
    """Config and gzip layers of a small image: busybox, and a file `/0`, `/1` … for each text."""
    plain = [image.layer(), *(pack({str(number): text.encode()}) for number, text in enumerate(texts))]
    return document(plain, {"Cmd": ["sh"], **config}), [gzip.compress(layer, 1, mtime=0) for layer in plain]
