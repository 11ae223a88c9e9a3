"""Storage drivers by Docker's names, what containerd calls them, what a container may ask of them; a tree's weight."""

import stat
from collections.abc import Mapping
from typing import Final

from protos.errdefs import InvalidArgument
from protos.ladder import everything
from services.dockerd import flags

_SNAPSHOTTERS: Final = {"overlay2": "overlayfs", "vfs": "native", "devicemapper": "devmapper"}
_DRIVERS: Final = {name: docker for docker, name in _SNAPSHOTTERS.items()}
_UNKNOWN: Final = {
    "btrfs": 'Unknown option {} ("btrfs" driver)', "native": "Storage opt {} not supported", "overlayfs":
    "Unknown option {}", "devmapper": "Unknown option {}",
}


def snapshotter(driver: str) -> str:
    """containerd's name of a storage driver."""
    return _SNAPSHOTTERS.get(driver, driver)


def driver(snapshotter: str) -> str:
    """Docker's name for what containerd calls `snapshotter`."""
    return _DRIVERS.get(snapshotter, snapshotter)


def size(snapshotter: str, options: Mapping[str, str]) -> int:
    """Bytes that a container's `--storage-opt` gives it, 0 where it says nothing; InvalidArgument in Docker's words."""
    found = 0
    for key, value in options.items():
        if key.lower() != "size":
            text = _UNKNOWN.get(snapshotter, f"--storage-opt is not supported for {driver(snapshotter)}")
            raise InvalidArgument(text.format(key))
        try:
            found = flags.size(value)
        except ValueError as error:
            raise InvalidArgument(str(error)) from error
        if not found:
            raise InvalidArgument(f"{driver(snapshotter)}: invalid storage size: 0B")
    return found


def weigh(directory: str) -> int:
    """Bytes of all files below, each once, directories not counted: Docker's sum."""
    sizes = {facts.st_ino: facts.st_size for facts in everything(directory) if not stat.S_ISDIR(facts.st_mode)}
    return sum(sizes.values())
