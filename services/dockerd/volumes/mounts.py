"""From what create asked (Binds, Mounts, VolumesFrom, image volumes) to a container's mount points, and their use.

Parsing is volumes/parse.py. At create: `resolve`, then `populate` with the container's root; at load: `refer`;
at start: `attach`; at exit: `detach`; at remove: `release`.
"""

from collections.abc import Callable, Sequence

from services.dockerd.schema.container import ContainerConfig, HostConfig
from services.dockerd.volumes.mountpoint import MountPoint
from services.dockerd.volumes.store import Volumes

Lookup = Callable[[str], Sequence[MountPoint]]
"""Mount points of another container by name or id; NotFound `No such container: x`."""


def check(config: ContainerConfig, host: HostConfig) -> None:
    """Validate every mount without creating anything (InvalidArgument with Docker's texts)."""
    raise NotImplementedError


def resolve(
    volumes: Volumes, container_id: str, config: ContainerConfig, host: HostConfig, other: Lookup
) -> list[MountPoint]:
    """The container's mount points; named and anonymous volumes are created and referred to."""
    raise NotImplementedError


async def populate(volumes: Volumes, container_id: str, points: Sequence[MountPoint], root: int) -> None:
    """Fill empty volumes from the image's files beneath the directory descriptor `root` (copy-up)."""
    raise NotImplementedError


def refer(volumes: Volumes, container_id: str, points: Sequence[MountPoint]) -> None:
    """Repeat the references of a container read from disk."""
    raise NotImplementedError


def release(volumes: Volumes, container_id: str, points: Sequence[MountPoint], *, anonymous: bool) -> list[str]:
    """The container is removed; with `anonymous` (`rm -v`, `--rm`) its nameless volumes go too. Returns their names."""
    raise NotImplementedError


async def attach(volumes: Volumes, container_id: str, points: Sequence[MountPoint]) -> list[MountPoint]:
    """Make every source usable (mount volumes, create missing directories of `-v`); the points with sources set."""
    raise NotImplementedError


async def detach(volumes: Volumes, container_id: str, points: Sequence[MountPoint]) -> None:
    """Undo `attach` after the container's end; harmless if repeated."""
    raise NotImplementedError
