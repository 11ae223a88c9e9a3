"""One mount of a container as Docker keeps it (config.v2.json) and shows it (`Mounts` of inspect)."""

from dataclasses import dataclass, field
from typing import Any

from services.dockerd.schema.container import Mount


@dataclass(slots=True)
class MountPoint:
    """A bind, volume, tmpfs or image at `destination`. `source` is the host's path, "" for tmpfs, an image's id."""

    type: str
    destination: str
    source: str = ""
    name: str = ""
    driver: str = ""
    mode: str = ""
    rw: bool = True
    propagation: str = ""
    must_exist: bool = False
    """A bind whose source is not made if it is missing (`--mount`)."""
    copy: bool = False
    """Fill an empty volume from the image."""
    borrowed: bool = False
    """It came by `--volumes-from`. Not kept: it matters only while the container is made."""
    spec: Mount = field(default_factory=Mount)
    """What was asked, for the options that have no field of their own."""

    def inspect(self) -> dict[str, Any]:
        """The entry of inspect's `Mounts`; keys without value are left out where Docker leaves them out."""
        entry = {"Type": self.type, "Name": self.name, "Source": self.source, "Destination": self.destination}
        if not self.name:
            del entry["Name"]
        if self.driver:
            entry["Driver"] = self.driver
        return {**entry, "Mode": self.mode, "RW": self.rw, "Propagation": self.propagation}

    def to_json(self) -> dict[str, Any]:
        """The form kept in the container's config.v2.json; `from_json` is its pair."""
        return {
            "Type": self.type, "Destination": self.destination, "Source": self.source, "Name": self.name,
            "Driver": self.driver, "Relabel": self.mode, "RW": self.rw, "Propagation": self.propagation,
            "SkipMountpointCreation": self.must_exist, "CopyData": self.copy,
            "Spec": self.spec.model_dump(exclude_none=True),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "MountPoint":
        return cls(
            type=document["Type"], destination=document["Destination"], source=document.get("Source", ""),
            name=document.get("Name", ""), driver=document.get("Driver", ""), mode=document.get("Relabel", ""),
            rw=document.get("RW", True), propagation=document.get("Propagation", ""),
            must_exist=document.get("SkipMountpointCreation", False), copy=document.get("CopyData", False),
            spec=Mount.model_validate(document.get("Spec", {})),
        )
