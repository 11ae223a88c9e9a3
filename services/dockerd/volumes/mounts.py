"""From what create asked (Binds, Mounts, VolumesFrom, image volumes) to a container's mount points, and their use.

Parsing is volumes/parse.py. At create: `check`, `resolve`, then `populate` with the container's root; at load: `refer`,
`adopt`; at start: `attach`, and `unpin` once the runtime has mounted; at exit: `detach`; at remove: `release`.
"""

import asyncio
import logging
import os
import posixpath
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount as Layers
from services.dockerd import alone
from services.dockerd.oci import tmpfs
from services.dockerd.schema.container import ContainerConfig, HostConfig, Mount, MountVolume
from services.dockerd.volumes import copyup, parse
from services.dockerd.volumes.mounting import identity
from services.dockerd.volumes.mountpoint import MountPoint
from services.dockerd.volumes.store import Volumes

log = logging.getLogger("volumes")

Lookup = Callable[[str], Sequence[MountPoint]]
"""Mount points of another container by name or id; NotFound `No such container: x`."""
View = Callable[[MountPoint], Awaitable[Sequence[Layers]]]
"""What makes up the files of a mounted image."""


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


async def resolve(
    volumes: Volumes, container_id: str, config: ContainerConfig, host: HostConfig, other: Lookup
) -> list[MountPoint]:
    """The container's mount points; named and anonymous volumes are created and referred to."""
    points: dict[str, MountPoint] = {}
    for text in host.VolumesFrom or ():
        points |= {each.destination: each for each in _borrowed(text, other)}
    points |= {point.destination: _follow_root(point, volumes.root.parent) for point in _asked(host)}
    taken = {posixpath.normpath(each) for each in host.Tmpfs or {}}
    for destination in config.Volumes or {}:
        cleaned = posixpath.normpath(destination).replace("//", "/")
        if cleaned not in points and cleaned not in taken:
            spec = Mount(Type="volume", Target=cleaned)
            points[cleaned] = MountPoint("volume", cleaned, driver=host.VolumeDriver, copy=True, spec=spec)
    made: list[MountPoint] = []
    try:
        for point in points.values():
            if point.type == "volume":
                await _create(volumes, container_id, point)
            made.append(point)
    except BaseException:
        await discard(volumes, release(volumes, container_id, made, anonymous=True))
        raise
    return made


def _borrowed(text: str, other: Lookup) -> list[MountPoint]:
    """The mounts of one `--volumes-from`; their owner has filled them."""
    reference, writable = parse.volumes_from(text)
    try:
        theirs = other(reference)
    except errdefs.NotFound as error:  # a client takes 404 from create for a missing image, and pulls
        raise errdefs.InvalidArgument(str(error)) from error
    return [
        replace(each, rw=each.rw and writable, copy=False, mode="", borrowed=True)
        for each in theirs
    ]


def _follow_root(point: MountPoint, data_root: Path) -> MountPoint:
    """A bind that shows the engine's own root sees mounts come and go there, unless told otherwise (as in Docker)."""
    chosen = point.spec.BindOptions and point.spec.BindOptions.Propagation
    source = Path(point.source)
    if point.type == "bind" and not chosen and (data_root.is_relative_to(source) or source.is_relative_to(data_root)):
        point.propagation = "rslave"
    return point


async def _create(volumes: Volumes, container_id: str, point: MountPoint) -> None:
    """Make or find the volume of a point and refer to it."""
    options = point.spec.VolumeOptions or MountVolume()
    driver = options.DriverConfig
    named = bool(point.name)
    labels = options.Labels if named or options.Labels else None
    try:
        volume, _ = await volumes.create(point.name, point.driver, driver.Options if driver else None, labels)
    except errdefs.NotFound as error:  # as above
        raise errdefs.InvalidArgument(str(error)) from error
    point.name, point.driver, point.source = volume.name, volume.driver, volume.mountpoint
    if volume.local and not point.mode and not point.borrowed and (named or point.spec.Source is not None):
        point.mode = "z"  # what Docker shows for a volume that was asked for without options
    volumes.refer(volume.name, container_id)


async def populate(volumes: Volumes, container_id: str, points: Sequence[MountPoint], root: int) -> None:
    """Fill empty volumes from the image's files beneath the directory descriptor `root` (copy-up)."""
    for point in points:
        if point.type != "volume" or not point.copy or _inside(point):
            continue  # a directory inside has to be there already
        volume = volumes.get(point.name)
        copying = identity(container_id, point.destination, "copy-up")
        path = await _mounted(volumes, point, copying)
        try:
            source = copyup.Source(root, point.destination)
            if volume.unfilled or await alone.run(partial(source.wanted, path), "copy-up"):
                volumes.filling(volume, done=False)
                await alone.run(partial(source.fill, path), "copy-up")
                volumes.filling(volume, done=True)
        finally:
            await volumes.mounting.detach(volume, copying)


def unfilled(volumes: Volumes, points: Sequence[MountPoint]) -> bool:
    """Whether a copy-up into one of the volumes was cut short."""
    return any(point.copy and point.name in volumes and volumes.get(point.name).unfilled for point in points)


def foreseen(volumes: Volumes, points: Sequence[MountPoint]) -> bool:
    """Whether the sources are known before `attach`, which then changes none of them."""
    return not any(
        point.type == "image" or _inside(point)
        or (point.type == "volume" and not (point.name in volumes and volumes.get(point.name).local))
        for point in points
    )


def _inside(point: MountPoint) -> str:
    """`volume-subpath` and `image-subpath`."""
    options = point.spec.ImageOptions if point.type == "image" else point.spec.VolumeOptions
    return (options.Subpath or "") if options else ""


def refer(volumes: Volumes, container_id: str, points: Sequence[MountPoint]) -> None:
    """Repeat the references of a container read from disk."""
    for point in points:
        if point.type == "volume":
            volumes.refer(point.name, container_id, point.driver, point.source)


def release(volumes: Volumes, container_id: str, points: Sequence[MountPoint], *, anonymous: bool) -> list[str]:
    """The container is removed; with `anonymous` (`rm -v`, `--rm`) its nameless volumes go too.

    Those of the local driver go at once; the names of a plugin's are returned, for `discard`.
    """
    left = []
    for point in points:
        if point.type != "volume":
            continue
        volumes.release(point.name, container_id)
        nameless = not point.spec.Source
        if not anonymous or not nameless or point.name not in volumes:
            continue
        volume = volumes.get(point.name)
        if volume.users or not volume.anonymous:  # somebody else's too, or it was given a name after all
            continue
        if volume.local:
            volumes.discard(volume)
            volumes.emit("destroy", volume.name, {"driver": volume.driver})
        else:
            left.append(volume.name)
    return left


async def discard(volumes: Volumes, names: Sequence[str]) -> None:
    """Remove volumes of plugins that nobody named; one that its plugin keeps stays listed."""
    for name in names:
        try:
            await volumes.remove(name)
        except errdefs.EngineError as error:
            log.warning("anonymous volume not removed volume=%s error=%s", name, error)


async def attach(
    volumes: Volumes, container_id: str, points: Sequence[MountPoint], view: View, purpose: str = ""
) -> list[MountPoint]:
    """Make every source usable (mount volumes, create missing directories of `-v`); the points with sources set.

    With a `purpose`, say a copy, that is not the container's run, nobody is told.
    """
    ready = []
    try:
        for point in points:
            ready.append(await _attach(volumes, container_id, point, view, purpose))
    except BaseException:
        await detach(volumes, container_id, points, purpose)
        raise
    return ready


async def _attach(
    volumes: Volumes, container_id: str, point: MountPoint, view: View, purpose: str
) -> MountPoint:
    owner = container_id + purpose
    if point.type == "image":
        layers, image = await view(point), point.source
        return replace(point, source=await alone.run(
            lambda: volumes.pins.image(layers, _inside(point), image, owner), "mount"))
    if point.type == "volume":
        source = await _mounted(volumes, point, identity(container_id, point.destination, purpose))
        point.source = source  # of a plugin's volume it may not have been known before
        if inside := _inside(point):
            source = await alone.run(lambda: volumes.pins.volume(source, inside, owner), "mount")
        if not purpose:
            volumes.emit("mount", point.name, {
                "container": container_id, "destination": point.destination, "driver": point.driver,
                "propagation": point.propagation, "read/write": str(point.rw).lower(),
            })
        return replace(point, source=source)
    if point.type == "bind" and not purpose and not os.path.lexists(point.source):
        _make_source(point, volumes.owner)
    return point


async def _mounted(volumes: Volumes, point: MountPoint, mount_id: str) -> str:
    volume = volumes.get(point.name)
    try:
        return await volumes.mounting.attach(volume, mount_id)
    except errdefs.EngineError as error:
        told = f"error while mounting volume '{volume.mountpoint}': {error}"
        raise (errdefs.Internal if isinstance(error, errdefs.NotFound) else type(error))(told) from error


def _make_source(point: MountPoint, owner: tuple[int, int]) -> None:
    """`-v /x:/y` makes /x; `--mount` was refused at create, and is refused again if its source has gone since."""
    if point.must_exist:
        raise errdefs.InvalidArgument(
            f'invalid mount config for type "bind": bind source path does not exist: {point.source}'
        )
    try:
        place = Path(point.source)
        missing = [each for each in (place, *place.parents) if not each.exists()]
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
        for each in missing:
            os.chown(each, *owner)
    except OSError as error:
        raise errdefs.InvalidArgument(
            f"error while creating mount source path '{point.source}': mkdir {point.source}: "
            f"{(error.strerror or str(error)).lower()}"
        ) from error


def adopt(volumes: Volumes, container_id: str, points: Sequence[MountPoint]) -> None:
    """A container that runs already has its volumes mounted: count it. Nothing is made, told or refused."""
    for point in points:
        if point.type == "volume" and point.name in volumes:
            volumes.mounting.adopt(volumes.get(point.name), identity(container_id, point.destination))


async def unpin(volumes: Volumes, container_id: str, points: Sequence[MountPoint], purpose: str = "") -> None:
    """Take away what stood there for the runtime alone."""
    if any(point.type == "image" or _inside(point) for point in points):
        await asyncio.to_thread(volumes.pins.drop, container_id + purpose)


async def detach(volumes: Volumes, container_id: str, points: Sequence[MountPoint], purpose: str = "") -> None:
    """Undo `attach` after the container's end; harmless if repeated."""
    await unpin(volumes, container_id, points, purpose)
    for point in points:
        if point.type != "volume" or point.name not in volumes:
            continue
        mount_id = identity(container_id, point.destination, purpose)
        if await volumes.mounting.detach(volumes.get(point.name), mount_id) and not purpose:
            volumes.emit("unmount", point.name, {"container": container_id, "driver": point.driver})
