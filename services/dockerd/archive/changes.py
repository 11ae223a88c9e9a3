"""`docker diff`: what a container's files have become since its image.

Of overlayfs and aufs only the container's own layer is walked; of other snapshotters both trees are compared. By
descriptors alone, links are not followed.
"""

import asyncio
import contextlib
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import IntEnum
from typing import Any, Final

from protos import errdefs
from protos.containerd.services.snapshots.v1 import snapshots_pb2
from protos.containerd.types.mount_pb2 import Mount
from protos.ladder import Below, Ladder, flat
from services.dockerd import rootfs
from services.dockerd.beneath import closing
from services.dockerd.engine import tasks
from services.dockerd.engine.engine import Engine
from services.dockerd.metrics import meter

_HELD: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_WHITEOUT, _META, _OPAQUE = ".wh.", ".wh..wh.", ".wh..wh..opq"
"""aufs's: what a name is hidden by, its own files, a directory whose lower files are hidden."""
_LIMIT: Final = 256 << 20
Change = tuple[str, "Kind"]
Steps = Iterator[Change | Below[Change]]


class Kind(IntEnum):
    """As the Engine API numbers them."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


@meter.timed("container_actions", "changes")
async def changes(engine: Engine, reference: str) -> list[dict[str, Any]]:
    """Every changed path with its kind, sorted."""
    container = engine.containers.get(reference)
    mounts = container.rootfs or await tasks.mounts(engine, container)
    if len(mounts) == 1 and mounts[0].type == "overlay":
        found = await asyncio.to_thread(_of_overlay, mounts[0])
    else:
        compare = _of_aufs if mounts[0].type == "aufs" else _of_trees
        async with _parent(engine, container.driver, container.id) as parent:
            found = await asyncio.to_thread(compare, parent, mounts)
    return [{"Path": path, "Kind": int(kind)} for path, kind in sorted(found)]


@contextlib.asynccontextmanager
async def _parent(engine: Engine, snapshotter: str, key: str) -> AsyncIterator[Sequence[Mount]]:
    """Mounts of the snapshot that the container's was prepared on."""
    client, view = engine.client, f"changes-{secrets.token_hex(8)}"
    about = await client.call(
        client.snapshots.Stat, snapshots_pb2.StatSnapshotRequest(snapshotter=snapshotter, key=key)
    )
    request = snapshots_pb2.ViewSnapshotRequest(snapshotter=snapshotter, key=view, parent=about.info.parent)
    mounts = (await client.call(client.snapshots.View, request)).mounts
    try:
        yield mounts
    finally:
        remove = snapshots_pb2.RemoveSnapshotRequest(snapshotter=snapshotter, key=view)
        with contextlib.suppress(errdefs.EngineError):
            await client.call(client.snapshots.Remove, remove)


def _of_overlay(mount: Mount) -> list[Change]:
    options = dict(option.partition("=")[::2] for option in mount.options)
    lower = options["lowerdir"]
    below = Mount(type="overlay", source="overlay", options=[f"lowerdir={lower}"])
    if ":" not in lower:
        below = Mount(type="bind", source=lower, options=["rbind", "ro"])
    upper = os.open(options["upperdir"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with closing(upper), closing(rootfs.detached([below])) as root:
        return _all(overlay(upper, root))


def _of_aufs(before: Sequence[Mount], after: Sequence[Mount]) -> list[Change]:
    top = after[0].options[0].removeprefix("br:").partition("=rw")[0]
    upper = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with closing(upper), closing(rootfs.detached(before)) as root:
        return _all(branch(upper, root))


def _of_trees(before: Sequence[Mount], after: Sequence[Mount]) -> list[Change]:
    with closing(rootfs.detached(before)) as old, closing(rootfs.detached(after)) as new:
        return _all(trees(old, new))


def _all(found: Iterator[Change]) -> list[Change]:
    """Not more than the daemon can hold: in a tree of many levels each path is long."""
    size, listed = 0, []
    for change in found:
        size += len(change[0])
        if size > _LIMIT:
            raise errdefs.ResourceExhausted(f"the changes are too many to list: their paths have over {_LIMIT} bytes")
        listed.append(change)
    return listed


def overlay(upper: int, lower: int | None) -> Iterator[Change]:
    """What a layer of overlayfs changes of the directory beneath it; None where there is none."""
    return _walked(_overlay, upper, lower)


def branch(upper: int, lower: int | None) -> Iterator[Change]:
    """What a branch of aufs changes of the directory beneath it; None where there is none."""
    return _walked(_branch, upper, lower)


def trees(old: int, new: int) -> Iterator[Change]:
    """What differs between two directories."""
    return _walked(_trees, new, old)


def _walked(step: Callable[[Ladder, Ladder | None, str], Steps], new: int, old: int | None) -> Iterator[Change]:
    with Ladder(new) as own, nullcontext() if old is None else Ladder(old) as beneath:
        yield from flat(step(own, beneath, ""))


def _overlay(upper: Ladder, lower: Ladder | None, path: str) -> Steps:
    names = _names(upper)
    if lower is not None and _is_opaque(upper.lowest):
        yield from ((f"{path}/{name}", Kind.DELETED) for name in _names(lower) if name not in names)
    for name in names:
        full = f"{path}/{name}"
        with _hold(upper, name) as own, _hold(lower, name) as old:
            if own is None:
                continue
            status = os.fstat(own)
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                yield full, Kind.DELETED
                continue
            directory = stat.S_ISDIR(status.st_mode)
            yield from _judge(full, status, old, anew=directory and _is_opaque(own))
        if directory:
            with _down(upper, name) as inner, _down(lower, name) as under:
                if inner is not None:
                    yield Below(_overlay(inner, under, full))


def _branch(upper: Ladder, lower: Ladder | None, path: str) -> Steps:
    names = _names(upper)
    own = [name for name in names if not name.startswith(_WHITEOUT)]
    gone = {name.removeprefix(_WHITEOUT) for name in names if name not in own and not name.startswith(_META)}
    if _OPAQUE in names and lower is not None:
        gone |= set(_names(lower)) - set(own)
    yield from ((f"{path}/{name}", Kind.DELETED) for name in gone)
    for name in own:
        full = f"{path}/{name}"
        with _hold(upper, name) as held, _hold(lower, name) as old, _down(upper, name) as inner:
            if held is None:
                continue
            yield from _judge(full, os.fstat(held), old, anew=inner is not None and _OPAQUE in _names(inner))
        with _down(upper, name) as inner, _down(lower, name) as under:
            if inner is not None:
                yield Below(_branch(inner, under, full))


def _trees(new: Ladder, old: Ladder | None, path: str) -> Steps:
    before, after = _names(old) if old else [], set(_names(new))
    yield from ((f"{path}/{name}", Kind.DELETED) for name in before if name not in after)
    for name in after:
        full = f"{path}/{name}"
        with _hold(new, name) as own, _hold(old, name) as was:
            if own is None:
                continue
            yield from _judge(full, os.fstat(own), was)
        with _down(new, name) as inner, _down(old, name) as under:
            if inner is not None:
                yield Below(_trees(inner, under, full))


def _judge(path: str, status: os.stat_result, old: int | None, *, anew: bool = False) -> Iterator[Change]:
    if old is None:
        yield path, Kind.ADDED
    elif anew or _differs(status, os.fstat(old)):
        yield path, Kind.MODIFIED


def _differs(new: os.stat_result, old: os.stat_result) -> bool:
    """Whether a file is another; of directories only what was set counts, not their size on a file system."""
    if (new.st_mode, new.st_uid, new.st_gid, new.st_rdev) != (old.st_mode, old.st_uid, old.st_gid, old.st_rdev):
        return True
    return new.st_mtime_ns != old.st_mtime_ns or (not stat.S_ISDIR(new.st_mode) and new.st_size != old.st_size)


@contextlib.contextmanager
def _hold(directory: Ladder | None, name: str) -> Iterator[int | None]:
    """What has that name, open; None where nothing has."""
    held = None
    if directory is not None:
        with contextlib.suppress(FileNotFoundError):
            held = os.open(name, _HELD, dir_fd=directory.lowest)
    try:
        yield held
    finally:
        if held is not None:
            os.close(held)


def _down(directory: Ladder | None, name: str) -> AbstractContextManager[Ladder | None]:
    return nullcontext() if directory is None else directory.down(name)


def _is_opaque(held: int) -> bool:
    """Whether overlayfs hides what lies beneath the directory: it was removed and made again."""
    try:
        return os.getxattr(f"/proc/self/fd/{held}", "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def _names(place: Ladder) -> list[str]:
    try:
        return os.listdir(place.path("."))  # noqa: PTH208 - a descriptor's
    except FileNotFoundError:
        return []
