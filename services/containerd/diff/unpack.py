"""One blob into one directory, whoever does it: a thread of docker-containerd, or a process beside it (worker.py)."""

import os

from protos.idmap import Owners
from services.containerd import linux
from services.containerd.diff import implied
from services.containerd.diff.apply import apply
from services.containerd.diff.layer import Layer
from services.containerd.diff.stream import LayerStream
from services.containerd.diff.whiteout import Form


def unpack(stream: LayerStream, place: Layer, owners: Owners | None, *, sync: bool) -> int:
    """Bytes of its files. Blocks; with `sync`, until all of it is on the disk. Raises what `apply` and streams do."""
    unpacked = apply(
        place.path, stream, form=place.form, parents=place.parents, copy=stream.copy, owners=owners
    )
    if unpacked.implied and place.form is not Form.GONE and not place.parents:
        implied.record(place.path, unpacked.implied)
    if sync:
        root = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            linux.syncfs(root)
        finally:
            os.close(root)
    return unpacked.size
