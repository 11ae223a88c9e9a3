"""`GraphDriver.Data` of `inspect`: where a storage driver has what it keeps, under the keys that Docker's driver told.

From the mounts of a container's snapshot and from the labels that docker-containerd adds to one.
"""

import posixpath
from collections.abc import Mapping, Sequence
from typing import Final

from protos import snapshots
from protos.containerd.types.mount_pb2 import Mount

UPPER: Final = "containerd.io/snapshot/overlay.upperdir"
_OPTIONS: Final = {"upperdir": "UpperDir", "workdir": "WorkDir", "lowerdir": "LowerDir"}
_DEVICE: Final = {
    "DeviceId": snapshots.DEVICE_ID, "DeviceName": snapshots.DEVICE_NAME, "DeviceSize": snapshots.DEVICE_SIZE,
}


def of_container(container_id: str, driver: str, mounts: Sequence[Mount]) -> dict[str, str] | None:
    """What an overlay's mounts tell; None where there is none. `driver` is containerd's name."""
    data: dict[str, str] = {}
    for mount in mounts:
        for option in mount.options:
            key, _, value = option.partition("=")
            if key in _OPTIONS:
                data[_OPTIONS[key]] = value
    if "UpperDir" not in data:
        return None
    merged = posixpath.join(posixpath.dirname(data["UpperDir"]), "merged")
    return {**({"ID": container_id} if driver == "overlayfs" else {}), **data, "MergedDir": merged}


def of_device(labels: Mapping[str, str]) -> dict[str, str] | None:
    """A thin device's number, name and size; None for what is no device."""
    return {key: labels[label] for key, label in _DEVICE.items()} if snapshots.DEVICE_ID in labels else None


def of_layers(layers: Sequence[Mapping[str, str]]) -> dict[str, str] | None:
    """An image's, from the labels of its layers, the topmost last."""
    if not layers:
        return None
    if device := of_device(layers[-1]):
        return device
    if snapshots.ROOT in layers[-1]:
        return {"RootDir": layers[-1][snapshots.ROOT]}
    found = [labels[UPPER] for labels in layers if UPPER in labels]
    if len(found) != len(layers):
        return None
    place = posixpath.dirname(found[-1])
    lower = {"LowerDir": ":".join(reversed(found[:-1]))} if found[1:] else {}
    return {**lower, "MergedDir": posixpath.join(place, "merged"), "UpperDir": found[-1],
            "WorkDir": posixpath.join(place, "work")}
