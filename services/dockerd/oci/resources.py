"""Limits of a container: Docker's checks and warnings, and the `linux.resources` of both cgroup versions."""

from typing import Any

from services.dockerd.schema.container import Resources


def verify(resources: Resources, *, update: bool = False) -> list[str]:
    """Check limits against each other and the kernel; returns Docker's warnings, raises InvalidArgument.

    What the kernel cannot do is reset in place, as Docker does, with a warning.
    """
    raise NotImplementedError


def build(resources: Resources) -> dict[str, Any]:
    """`linux.resources` without devices, for the container's document and for Tasks.Update."""
    raise NotImplementedError
