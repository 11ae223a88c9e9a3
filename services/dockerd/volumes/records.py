"""What outlives dockerd of volumes that plugins hold: labels, options and driver of each below the data root; below
the exec root, as they are of this boot, the mounts that a plugin was asked for and that were not given back."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.dockerd.volumes import directories
from services.dockerd.volumes.volume import Volume

_PLACE: Final = ".plugins"


@dataclass(frozen=True, slots=True)
class Mounted:
    """One `VolumeDriver.Mount`."""

    mount_id: str
    name: str
    driver: str


class Records:
    def __init__(self, root: Path, run: Path) -> None:
        self._volumes = root / _PLACE
        self._mounts = run / "mounts"

    def volumes(self) -> Iterator[Volume]:
        for path in self._volumes.glob("*.json"):
            document = directories.load(path)
            if document.get("Name") and document.get("Driver"):
                yield Volume(
                    document["Name"], document.get("Mountpoint", ""), document.get("Labels"), document.get("Options"),
                    document.get("CreatedAt", ""), document["Driver"], document.get("Scope", "local"),
                    unfilled=document.get("Unfilled", False),
                )

    def keep(self, volume: Volume) -> None:
        self._volumes.mkdir(mode=0o700, exist_ok=True)
        directories.write(self._path(volume.name), {
            "Name": volume.name, "Driver": volume.driver, "Labels": volume.labels, "Options": volume.options,
            "Scope": volume.scope, "Mountpoint": volume.mountpoint, "CreatedAt": volume.created,
            "Unfilled": volume.unfilled,
        })

    def drop(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        """A plugin's volume may be called anything."""
        return self._volumes / f"{hashlib.sha256(name.encode()).hexdigest()}.json"

    def mounts(self) -> list[Mounted]:
        found = []
        for path in self._mounts.glob("*"):
            document = directories.load(path)
            if document.get("Name") and document.get("Driver"):
                found.append(Mounted(path.name, document["Name"], document["Driver"]))
        return found

    def mounting(self, mounted: Mounted) -> bool:
        """Before the plugin is asked: should we die meanwhile, the next life gives it back. True if it was noted."""
        before = self.has(mounted.mount_id)
        self._mounts.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps({"Name": mounted.name, "Driver": mounted.driver})
        (self._mounts / mounted.mount_id).write_text(text)
        return before

    def has(self, mount_id: str) -> bool:
        return (self._mounts / mount_id).exists()

    def unmounted(self, mount_id: str) -> None:
        (self._mounts / mount_id).unlink(missing_ok=True)
