"""Bodies of the volume endpoints."""

from typing import Any

from services.dockerd.schema.wire import Wire


class VolumeCreate(Wire):
    Name: str | None = None
    Driver: str | None = None
    DriverOpts: dict[str, str] | None = None
    Labels: dict[str, str] | None = None
    ClusterVolumeSpec: dict[str, Any] | None = None
