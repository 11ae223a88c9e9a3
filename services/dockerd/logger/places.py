"""Where a container's log lies: what its driver writes, or the copy of what it sends away."""

from collections.abc import Mapping
from pathlib import Path

from services.dockerd.container.container import Container
from services.dockerd.logger import options


def make(container: Container) -> str:
    """The file the driver writes, its directory made; "" where it writes none."""
    if container.host.LogConfig.Type != "local":
        return container.log_path
    path = local(container)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return str(path)


def local(container: Container) -> Path:
    return container.directory / "local-logs" / "container.log"


def cache(container: Container) -> str:
    """The copy's file, "" where there is none."""
    kept = options.cached(container.host.LogConfig.Type, _given(container))
    return str(container.directory / "container-cached.log") if kept else ""


def _given(container: Container) -> Mapping[str, str]:
    return container.host.LogConfig.Config or {}
