"""A volume as the engine knows it, whichever driver holds it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

LOCAL: Final = "local"
"""The driver that is always there."""
ANONYMOUS: Final = "com.docker.volume.anonymous"
"""Label of a volume that nobody named."""


@dataclass(slots=True)
class Volume:
    name: str
    mountpoint: str
    """The host's directory: `_data` of a local one, what the plugin last said of another; "" where it is not known."""
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None
    created: str = ""
    """RFC 3339, seconds; "" where the plugin does not tell."""
    driver: str = LOCAL
    scope: str = "local"
    status: dict[str, Any] | None = None
    """What a plugin tells of it beside."""
    users: set[str] = field(default_factory=set)
    """Containers that list it among their mounts."""
    active: set[str] = field(default_factory=set)
    """Ids of the mounts that use it now: containers', and copies into it."""
    unfilled: bool = False
    """A copy-up into it was begun and not ended."""

    @property
    def path(self) -> Path:
        return Path(self.mountpoint)

    @property
    def local(self) -> bool:
        return self.driver == LOCAL

    @property
    def anonymous(self) -> bool:
        return ANONYMOUS in (self.labels or {})

    def to_api(self) -> dict[str, Any]:
        """The Engine API's Volume object."""
        document: dict[str, Any] = {"CreatedAt": self.created} if self.created else {}
        document |= {
            "Driver": self.driver, "Labels": self.labels, "Mountpoint": self.mountpoint, "Name": self.name,
            "Options": self.options, "Scope": self.scope,
        }
        return document | {"Status": self.status} if self.status else document
