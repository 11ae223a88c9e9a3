"""Where tools that watch containers (cAdvisor and its kin) look for a container's writable layer.

`image/<driver>/layerdb/mounts/<id>/mount-id` names a directory below `<driver>/` whose `diff` is that layer: here a
link to where docker-containerd has it. Nothing of ours reads it.
"""

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from protos.containerd.types.mount_pb2 import Mount
from services.dockerd import storage


def upper(mounts: Sequence[Mount]) -> str:
    """Directory of an overlay's own layer, "" for other mounts."""
    for mount in mounts:
        for option in mount.options:
            if option.startswith("upperdir="):
                return option.removeprefix("upperdir=")
    return ""


def write(data_root: Path, snapshotter: str, container_id: str, mounts: Sequence[Mount]) -> None:
    name, layer = storage.driver(snapshotter), upper(mounts)
    record = data_root / "image" / name / "layerdb" / "mounts" / container_id
    record.mkdir(mode=0o700, parents=True, exist_ok=True)
    (record / "mount-id").write_text(container_id)
    if layer:
        place = data_root / name / container_id
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (place / "diff").symlink_to(layer)


def remove(data_root: Path, snapshotter: str, container_id: str) -> None:
    name = storage.driver(snapshotter)
    for place in (data_root / "image" / name / "layerdb" / "mounts" / container_id, data_root / name / container_id):
        shutil.rmtree(place, ignore_errors=True)
