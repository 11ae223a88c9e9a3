"""Named volumes: their directories and metadata under the data root, who uses them, mounted once for all users.

A volume's directory is `<name>/_data`; `opts.json` beside it holds the local driver's options, `metadata.json` labels
and creation time. References of containers live in memory: the engine repeats them when it loads its containers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Volume:
    name: str
    path: Path
    """The `_data` directory."""
    driver: str
    labels: dict[str, str] | None
    options: dict[str, str] | None
    created: str
    anonymous: bool = False


class Volumes:
    """All volumes of the engine. Every verb is quick but `mount`, which may talk to a file server."""

    def __init__(self, root: Path) -> None:
        raise NotImplementedError

    def load(self) -> None:
        """Read what is on disk, drop half-made volumes, find what is mounted."""
        raise NotImplementedError

    def get(self, name: str) -> Volume:
        """NotFound `get x: no such volume`."""
        raise NotImplementedError

    def create(
        self, name: str = "", driver: str = "", options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[Volume, bool]:
        """The volume, and whether it is new; an empty name makes an anonymous one. Conflicting options are refused."""
        raise NotImplementedError

    def remove(self, name: str, *, force: bool = False) -> bool:
        """Delete; Conflict while containers refer to it; False where `force` met none."""
        raise NotImplementedError

    def refer(self, name: str, container_id: str) -> None:
        """A container lists the volume among its mounts."""
        raise NotImplementedError

    def release(self, name: str, container_id: str) -> None:
        raise NotImplementedError

    def users(self, name: str) -> list[str]:
        raise NotImplementedError

    def inspect(self, volume: Volume) -> dict[str, Any]:
        """The Engine API's Volume object."""
        raise NotImplementedError

    async def attach(self, name: str, container_id: str, subpath: str = "") -> str:
        """The host directory to bind, mounted if the driver's options ask for it; repeated calls of one container count once."""
        raise NotImplementedError

    async def detach(self, name: str, container_id: str) -> None:
        """The container no longer runs: unmount on the last."""
        raise NotImplementedError
