"""`docker-containerd move`: the unpacked images of a root from one storage driver to another, out of their own content.

Each layer is unpacked once more and verified; then the image refers to the new snapshots, and what nothing refers to
goes. Containers stay where they are. Cut short, it is begun again: what was moved is not moved twice.
"""

import asyncio
import hashlib
import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from protos import errdefs
from protos.containerd.services.content.v1.content_pb2 import Info
from protos.containerd.services.snapshots.v1 import snapshots_pb2
from protos.containerd.types.descriptor_pb2 import Descriptor
from services.containerd import lock
from services.containerd.config import Config
from services.containerd.metadata.db import Database
from services.containerd.server import Core
from services.containerd.snapshots.choice import DRIVERS
from services.containerd.snapshots.snapshotter import Snapshotter, choose

_REFERENCE: Final = "containerd.io/gc.ref.snapshot."
_MAX_DOCUMENT: Final = 16 << 20


def main(argv: list[str]) -> int:
    flags = _parser().parse_args(argv)
    try:
        source, target = _name(flags.source), _name(flags.to)
        asyncio.run(_run(Path(flags.root), Path(flags.state), source, target, flags.snapshotter_opt))
    except (errdefs.EngineError, OSError) as error:
        print(f"docker-containerd move: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "docker-containerd move", description="Move a root's images to another storage driver; nothing may run on it"
    )
    parser.add_argument("--root", default="/var/lib/docker/containerd", help="directory of persistent data")
    parser.add_argument("--state", default="/var/run/docker/containerd", help="directory of this boot's state")
    parser.add_argument("--from", dest="source", required=True, metavar="DRIVER", help="where they are now")
    parser.add_argument("--to", required=True, metavar="DRIVER", help="where they go")
    parser.add_argument("--snapshotter-opt", action="append", default=[], metavar="KEY=VALUE", help="an option of that")
    return parser


def _name(text: str) -> str:
    """containerd's name of a driver that may be given by Docker's."""
    return next((kind.name for kind in DRIVERS if text in (kind.name, kind.docker)), text)


async def _run(root: Path, state: Path, source: str, target: str, options: list[str]) -> None:
    if not (root / "meta.db").exists():
        raise errdefs.NotFound(f"{root} is no root of docker-containerd: it has no meta.db")
    if source == target:
        raise errdefs.InvalidArgument("--from and --to are the same driver")
    os.umask(0o022)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    held = lock.lock_root(root)
    db = Database(root / "meta.db")
    try:
        core = Core(Config(root, state, "", snapshotter=target, snapshotter_opts=tuple(options)), db)
        core.open()
        choose(core.snapshotters, source)
        moved = 0
        for namespace in core.namespaces.all():
            for manifest in _manifests(core, namespace.name):
                moved += await _move(core, namespace.name, manifest, source, target)
        await core.collector.collect()
        for snapshotter in core.snapshotters.values():
            await snapshotter.close()
        _tell(core, moved, source, target)
    finally:
        db.close()
        os.close(held)


def _tell(core: Core, moved: int, source: str, target: str) -> None:
    print(f"images moved from {source} to {target}: {moved}")
    old = core.snapshotters[source]
    names = [space.name for space in core.namespaces.all()]
    kept = [info for name in names for info in old.select(name, []) if info.kind == snapshots_pb2.ACTIVE]
    if kept:
        print(f"containers that stay on {source}: {len(kept)}; name the driver by --storage-driver until they are gone")


def _manifests(core: Core, namespace: str) -> Iterator[dict[str, Any]]:
    """The manifests of all images whose content is here, each once."""
    pending = [image.target.digest for image in core.images.select(namespace, [])]
    seen: set[str] = set()
    while pending:
        digest = pending.pop()
        if digest in seen:
            continue
        seen.add(digest)
        try:
            document = _read(core, namespace, digest)
        except errdefs.NotFound:
            continue  # of another platform
        pending += [str(each["digest"]) for each in document.get("manifests") or []]
        if "config" in document:
            yield document


def _read(core: Core, namespace: str, digest: str) -> dict[str, Any]:
    descriptor, info = core.content.open_blob(namespace, digest)
    with os.fdopen(descriptor, "rb") as file:
        if info.size > _MAX_DOCUMENT:
            raise errdefs.InvalidArgument(f"{digest} is too large for a manifest: {info.size} bytes")
        document = json.loads(file.read())
    if not isinstance(document, dict):
        raise errdefs.InvalidArgument(f"{digest} is no manifest")
    return document


async def _move(core: Core, namespace: str, manifest: dict[str, Any], source: str, target: str) -> bool:
    """Unpack an image that is unpacked in `source`; whether it was."""
    config = str(manifest["config"]["digest"])
    descriptor, info = core.content.open_blob(namespace, config)
    os.close(descriptor)
    if _REFERENCE + source not in info.labels:
        return False
    diff_ids = _read(core, namespace, config)["rootfs"]["diff_ids"]
    chain = ""
    for layer, diff_id in zip(manifest["layers"], diff_ids, strict=True):
        parent, chain = chain, _chain(chain, diff_id)
        await _unpack(core, namespace, core.snapshotters[target], layer, diff_id, parent, chain)
    labels = {_REFERENCE + target: chain}
    paths = [f"labels.{_REFERENCE}{target}", f"labels.{_REFERENCE}{source}"]
    core.content.update(namespace, Info(digest=config, labels=labels), paths)
    print(f"{config}: {len(diff_ids)} layers")
    return True


def _chain(parent: str, diff_id: str) -> str:
    return f"sha256:{hashlib.sha256(f'{parent} {diff_id}'.encode()).hexdigest()}" if parent else diff_id


async def _unpack(
    core: Core, namespace: str, into: Snapshotter, layer: dict[str, Any], diff_id: str, parent: str, chain: str
) -> None:
    try:
        into.stat(namespace, chain)
        return
    except errdefs.NotFound:
        pass
    key = f"move-{os.urandom(8).hex()} {chain}"
    mounts = await into.prepare(namespace, key, parent, {}, "")
    try:
        blob = Descriptor(media_type=layer["mediaType"], digest=layer["digest"], size=layer["size"])
        applied = await core.differ.apply(namespace, blob, mounts, sync=True)
        if applied.digest != diff_id:
            raise errdefs.DataLoss(f"layer {blob.digest} unpacks to {applied.digest}, but its image says {diff_id}")
        await into.commit(namespace, key, chain, dict(applied.annotations), "")
    except BaseException:
        into.remove(namespace, key)
        raise
