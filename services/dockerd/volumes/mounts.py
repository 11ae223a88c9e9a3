"""From what create asked (Binds, Mounts, VolumesFrom, image volumes) to a container's mount points, and their use.

Parsing is volumes/parse.py. At create: `check`, `resolve`, then `populate` with the container's root; at load: `refer`,
`adopt`; at start: `attach`; at exit: `detach`; at remove: `release`.
"""

import asyncio
import os
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from protos import errdefs
from services.dockerd.oci import tmpfs
from services.dockerd.schema.container import ContainerConfig, HostConfig, Mount, MountVolume
from services.dockerd.volumes import copyup, parse
from services.dockerd.volumes.mountpoint import MountPoint
from services.dockerd.volumes.store import Volumes

Lookup = Callable[[str], Sequence[MountPoint]]
"""Mount points of another container by name or id; NotFound `No such container: x`."""


def check(config: ContainerConfig, host: HostConfig) -> None:
    """Validate every mount without creating anything (InvalidArgument with Docker's texts)."""
    for destination, options in (host.Tmpfs or {}).items():
        problem = parse.destination(destination)
        if problem:
            raise errdefs.InvalidArgument(problem)
        tmpfs.merge(options.split(","))
    for text in host.VolumesFrom or ():
        parse.volumes_from(text)
    for destination in config.Volumes or {}:
        problem = parse.destination(destination)
        if problem:
            raise errdefs.InvalidArgument(f"invalid volume specification: '{destination}': {problem}")
    _asked(host)


def _asked(host: HostConfig) -> list[MountPoint]:
    """What Binds and Mounts name; no two of them, nor a tmpfs, at one place."""
    points = [parse.bind(text, host.VolumeDriver) for text in host.Binds or ()]
    points += [parse.mount(spec) for spec in host.Mounts or ()]
    taken = {posixpath.normpath(each) for each in host.Tmpfs or {}}
    for point in points:
        if point.destination in taken:
            raise errdefs.InvalidArgument(f"Duplicate mount point: {point.destination}")
        taken.add(point.destination)
    return points


def resolve(
    volumes: Volumes, container_id: str, config: ContainerConfig, host: HostConfig, other: Lookup
) -> list[MountPoint]:
    """The container's mount points; named and anonymous volumes are created and referred to."""
    points: dict[str, MountPoint] = {}
    for text in host.VolumesFrom or ():
        reference, writable = parse.volumes_from(text)
        try:
            theirs = other(reference)
        except errdefs.NotFound as error:  # a client takes 404 from create for a missing image, and pulls
            raise errdefs.InvalidArgument(str(error)) from error
        points |= {
            each.destination: replace(each, rw=each.rw and writable, copy=False) for each in theirs
        }
    points |= {point.destination: _follow_root(point, volumes.root.parent) for point in _asked(host)}
    taken = {posixpath.normpath(each) for each in host.Tmpfs or {}}
    for destination in config.Volumes or {}:
        cleaned = posixpath.normpath(destination).replace("//", "/")
        if cleaned not in points and cleaned not in taken:
            points[cleaned] = MountPoint("volume", cleaned, copy=True, spec=Mount(Type="volume", Target=cleaned))
    made: list[MountPoint] = []
    try:
        for point in points.values():
            if point.type == "volume":
                _create(volumes, container_id, point)
            made.append(point)
    except BaseException:
        release(volumes, container_id, made, anonymous=True)
        raise
    return made


def _follow_root(point: MountPoint, data_root: Path) -> MountPoint:
    """A bind that shows the engine's own root sees mounts come and go there, unless told otherwise (as in Docker)."""
    chosen = point.spec.BindOptions and point.spec.BindOptions.Propagation
    source = Path(point.source)
    if point.type == "bind" and not chosen and (data_root.is_relative_to(source) or source.is_relative_to(data_root)):
        point.propagation = "rslave"
    return point


def _create(volumes: Volumes, container_id: str, point: MountPoint) -> None:
    """Make or find the volume of a point and refer to it."""
    options = point.spec.VolumeOptions or MountVolume()
    driver = options.DriverConfig
    if point.driver not in ("", "local"):
        name = point.driver
        raise errdefs.InvalidArgument(f'error looking up volume plugin {name}: plugin "{name}" not found')
    named = bool(point.name)
    labels = options.Labels if named or options.Labels else None
    volume, _ = volumes.create(point.name, point.driver, driver.Options if driver else None, labels)
    point.name, point.driver, point.source = volume.name, volume.driver, str(volume.path)
    if not point.mode and (named or point.spec.Source is not None):
        point.mode = "z"  # what Docker shows for a volume that was asked for without options
    volumes.refer(volume.name, container_id)


async def populate(volumes: Volumes, container_id: str, points: Sequence[MountPoint], root: int) -> None:
    """Fill empty volumes from the image's files beneath the directory descriptor `root` (copy-up)."""
    for point in points:
        if point.type != "volume" or not point.copy:
            continue
        inside = (point.spec.VolumeOptions.Subpath or "") if point.spec.VolumeOptions else ""
        if inside:
            continue  # the directory has to be there already
        path = await volumes.attach(point.name, container_id)
        try:
            await asyncio.to_thread(copyup.fill, root, point.destination, path)
        finally:
            await volumes.detach(point.name, container_id)


def refer(volumes: Volumes, container_id: str, points: Sequence[MountPoint]) -> None:
    """Repeat the references of a container read from disk."""
    for point in points:
        if point.type == "volume":
            volumes.refer(point.name, container_id)


def release(volumes: Volumes, container_id: str, points: Sequence[MountPoint], *, anonymous: bool) -> list[str]:
    """The container is removed; with `anonymous` (`rm -v`, `--rm`) its nameless volumes go too. Returns their names."""
    removed = []
    for point in points:
        if point.type != "volume":
            continue
        volumes.release(point.name, container_id)
        nameless = not point.spec.Source
        if anonymous and nameless and not _kept(volumes, point.name) and volumes.remove(point.name, force=True):
            removed.append(point.name)
    return removed


def _kept(volumes: Volumes, name: str) -> bool:
    """Somebody else refers to the volume, or it was given a name after all."""
    try:
        volume = volumes.get(name)
    except errdefs.NotFound:
        return False
    return bool(volume.users) or not volume.anonymous


async def attach(volumes: Volumes, container_id: str, points: Sequence[MountPoint]) -> list[MountPoint]:
    """Make every source usable (mount volumes, create missing directories of `-v`); the points with sources set."""
    ready = []
    try:
        for point in points:
            ready.append(await _attach(volumes, container_id, point))
    except BaseException:
        await detach(volumes, container_id, points)
        raise
    return ready


async def _attach(volumes: Volumes, container_id: str, point: MountPoint) -> MountPoint:
    if point.type == "volume":
        inside = (point.spec.VolumeOptions.Subpath or "") if point.spec.VolumeOptions else ""
        source = await volumes.attach(point.name, container_id, inside)
        volumes.emit("mount", point.name, {
            "container": container_id, "destination": point.destination, "driver": point.driver,
            "propagation": point.propagation, "read/write": str(point.rw).lower(),
        })
        return replace(point, source=source)
    if point.type == "bind" and not os.path.lexists(point.source):
        _make_source(point)
    return point


def _make_source(point: MountPoint) -> None:
    """`-v /x:/y` makes /x; `--mount` was refused at create, and is refused again if its source has gone since."""
    if point.must_exist:
        raise errdefs.InvalidArgument(
            f'invalid mount config for type "bind": bind source path does not exist: {point.source}'
        )
    try:
        Path(point.source).mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise errdefs.InvalidArgument(
            f"error while creating mount source path '{point.source}': mkdir {point.source}: "
            f"{(error.strerror or str(error)).lower()}"
        ) from error


def adopt(volumes: Volumes, container_id: str, points: Sequence[MountPoint]) -> None:
    """A container that runs already has its volumes mounted: count it. Nothing is made, told or refused."""
    for point in points:
        if point.type == "volume" and point.name in volumes:
            volumes.get(point.name).active.add(container_id)


async def detach(volumes: Volumes, container_id: str, points: Sequence[MountPoint]) -> None:
    """Undo `attach` after the container's end; harmless if repeated."""
    for point in points:
        if point.type == "volume":
            active = point.name in volumes and container_id in volumes.get(point.name).active
            await volumes.detach(point.name, container_id)
            if active:
                volumes.emit("unmount", point.name, {"container": container_id, "driver": point.driver})
