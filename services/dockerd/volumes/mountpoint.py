"""One mount of a container as Docker keeps and shows it (`Mounts` of inspect)."""

from dataclasses import dataclass, field
from typing import Any

from services.dockerd.schema.container import Mount


@dataclass(slots=True)
class MountPoint:
    """A bind, volume or tmpfs at `destination`. `source` is the host's path, "" for tmpfs and unattached volumes."""

    type: str
    destination: str
    source: str = ""
    name: str = ""
    driver: str = ""
    mode: str = ""
    rw: bool = True
    propagation: str = ""
    copy: bool = False
    """Fill an empty volume from the image (until done)."""
    spec: Mount = field(default_factory=Mount)
    """What was asked, for the options that have no field of their own."""

    def inspect(self) -> dict[str, Any]:
        """The entry of inspect's `Mounts`."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """The form kept in the container's config.v2.json; `from_json` is its pair."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "MountPoint":
        raise NotImplementedError
