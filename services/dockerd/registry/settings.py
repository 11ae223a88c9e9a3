"""What the daemon's configuration says of registries, as their client needs it."""

from dataclasses import dataclass, field
from pathlib import Path

from protos.proxies import Proxies
from services.dockerd.registry.certificates import DIRECTORY
from services.dockerd.release import VERSION


@dataclass(frozen=True, slots=True)
class Settings:
    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    downloads: int = 3
    uploads: int = 5
    attempts: int = 5
    proxies: Proxies = field(default_factory=Proxies)
    certificates: Path = DIRECTORY
    directory: Path = DIRECTORY
    """Of hosts.toml by registry."""
    agent: str = f"docker/{VERSION} (linux)"
