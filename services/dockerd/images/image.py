"""One image as the engine knows it: its documents, decoded once, and what is derived from them. Pure."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from services.dockerd.images import platform
from services.dockerd.images.manifest import Descriptor, chain_ids
from services.dockerd.schema.container import ContainerConfig


@dataclass(frozen=True)
class Image:
    """An image of this platform. `id` is the digest of its config, as in Docker."""

    id: str
    target: Descriptor
    """What its names point to: a manifest, or an index that holds one for this platform."""
    manifest: Descriptor
    layers: tuple[Descriptor, ...]
    document: dict[str, Any]
    parent: str = ""
    """ID of the local image that this one was committed on; empty for what came from elsewhere."""

    @cached_property
    def config(self) -> ContainerConfig:
        return ContainerConfig.model_validate(self.document.get("config") or {})

    @cached_property
    def diff_ids(self) -> list[str]:
        return list(self.document["rootfs"]["diff_ids"])

    @cached_property
    def chain_ids(self) -> tuple[str, ...]:
        return chain_ids(self.diff_ids)

    @property
    def chain_id(self) -> str:
        """Key of the snapshot a container's own is prepared on; empty for an image without layers."""
        return self.chain_ids[-1] if self.chain_ids else ""

    @property
    def short_id(self) -> str:
        return self.id.removeprefix("sha256:")[:12]

    @property
    def created(self) -> str:
        """RFC 3339, empty where the config does not say."""
        return str(self.document.get("created") or "")

    @property
    def os(self) -> str:
        return str(self.document.get("os") or "linux")

    @property
    def architecture(self) -> str:
        return str(self.document.get("architecture") or platform.default().architecture)

    @property
    def platform(self) -> platform.Platform:
        """What it runs on; this machine's where its config does not say."""
        return platform.of(self.document) or platform.default()

    @property
    def labels(self) -> dict[str, str]:
        return self.config.Labels or {}

    @property
    def history(self) -> list[dict[str, Any]]:
        return list(self.document.get("history") or [])
