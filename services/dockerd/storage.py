"""Storage drivers by Docker's names, and what containerd calls them. Pure."""

from typing import Final

_SNAPSHOTTERS: Final = {"": "overlayfs", "overlay2": "overlayfs", "vfs": "native"}
_DRIVERS: Final = {"overlayfs": "overlay2", "native": "vfs"}


def snapshotter(driver: str) -> str:
    """containerd's name of a storage driver; "" is the default driver."""
    return _SNAPSHOTTERS.get(driver, driver)


def driver(snapshotter: str) -> str:
    """Docker's name for what containerd calls `snapshotter`."""
    return _DRIVERS.get(snapshotter, snapshotter)
