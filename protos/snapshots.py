"""What dockerd and docker-containerd say to one another about snapshots beyond containerd's API."""

from typing import Final

SIZE: Final = "dockerd.io/snapshot.size"
"""Label of a snapshot being prepared: bytes that it may take. Another containerd keeps it without heeding it."""
LAYER_SIZE: Final = "dockerd.io/layer.size"
"""Label of a committed snapshot, and annotation of what was applied to it: bytes of its files, as Docker adds them."""
DEFAULT: Final = "default"
"""Export of the snapshotter plugin that docker-containerd was told to use, or chose; its value is Docker's name."""
STATUS: Final = "status"
"""Export with rows of `docker info`, a JSON list of pairs."""
DEVICE_ID: Final = "dockerd.io/snapshot/devmapper.device-id"
DEVICE_NAME: Final = "dockerd.io/snapshot/devmapper.device-name"
DEVICE_SIZE: Final = "dockerd.io/snapshot/devmapper.device-size"
ROOT: Final = "dockerd.io/snapshot/overlay.root"
"""What docker-containerd adds to the labels of a snapshot, beside containerd's own of that kind: its thin device; the
whole tree that a committed layer of the legacy driver `overlay` is."""
