"""Containers for tests of what keeps them."""

from pathlib import Path
from typing import Any

from services.dockerd.container.container import Container
from services.dockerd.schema.container import ContainerConfig, HostConfig


def container(root: Path, identity: str = "a" * 64, name: str = "box", created: int = 1, **more: Any) -> Container:
    return Container(
        id=identity, name=name, created=created, path="sh", args=["-c", "true"],
        config=ContainerConfig(Image="busybox", Cmd=["sh"], Labels={"a": "b"}), host=HostConfig(), image="sha256:1",
        driver="overlayfs", directory=root / identity, **more)
