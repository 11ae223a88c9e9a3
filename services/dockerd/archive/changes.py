"""`docker diff`: what a container's files have become since its image.

Of overlayfs and aufs only the container's own layer is walked; of other snapshotters both trees are compared. By
descriptors alone, links are not followed.
"""

import asyncio
import contextlib
import os
import secrets
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from enum import IntEnum
from typing import Any, Final

from protos import errdefs
from protos.containerd.services.snapshots.v1 import snapshots_pb2
from protos.containerd.types.mount_pb2 import Mount
from services.dockerd import rootfs
from services.dockerd.beneath import closing
from services.dockerd.engine import tasks
from services.dockerd.engine.engine import Engine
from services.dockerd.metrics import meter

_HELD: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_WHITEOUT, _META, _OPAQUE = ".wh.", ".wh..wh.", ".wh..wh..opq"
"""aufs's: what a name is hidden by, its own files, a directory whose lower files are hidden."""
Change = tuple[str, "Kind"]


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
        return list(overlay(upper, root, ""))


def _of_aufs(before: Sequence[Mount], after: Sequence[Mount]) -> list[Change]:
    top = after[0].options[0].removeprefix("br:").partition("=rw")[0]
    upper = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with closing(upper), closing(rootfs.detached(before)) as root:
        return list(branch(upper, root, ""))


def _of_trees(before: Sequence[Mount], after: Sequence[Mount]) -> list[Change]:
    with closing(rootfs.detached(before)) as old, closing(rootfs.detached(after)) as new:
        return list(trees(old, new, ""))


def overlay(upper: int, lower: int | None, path: str) -> Iterator[Change]:
    """What a layer of overlayfs changes of the directory beneath it; None where there is none."""
    names = _names(upper)
    if lower is not None and _is_opaque(upper):
        yield from ((f"{path}/{name}", Kind.DELETED) for name in _names(lower) if name not in names)
    for name in names:
        with closing(os.open(name, _HELD, dir_fd=upper)) as own:
            status, full = os.fstat(own), f"{path}/{name}"
            with _below(lower, name) as old:
                if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                    yield full, Kind.DELETED
                    continue
                directory = stat.S_ISDIR(status.st_mode)
                yield from _judge(full, status, old, anew=directory and _is_opaque(own))
                if directory:
                    yield from overlay(own, old if old is not None and _is_directory(old) else None, full)


def branch(upper: int, lower: int | None, path: str) -> Iterator[Change]:
    """What a branch of aufs changes of the directory beneath it; None where there is none."""
    names = _names(upper)
    own = [name for name in names if not name.startswith(_WHITEOUT)]
    gone = {name.removeprefix(_WHITEOUT) for name in names if name not in own and not name.startswith(_META)}
    if _OPAQUE in names and lower is not None:
        gone |= set(_names(lower)) - set(own)
    yield from ((f"{path}/{name}", Kind.DELETED) for name in gone)
    for name in own:
        with closing(os.open(name, _HELD, dir_fd=upper)) as held, _below(lower, name) as old:
            status, full = os.fstat(held), f"{path}/{name}"
            directory = stat.S_ISDIR(status.st_mode)
            yield from _judge(full, status, old, anew=directory and _OPAQUE in _names(held))
            if directory:
                yield from branch(held, old if old is not None and _is_directory(old) else None, full)


def trees(old: int, new: int, path: str) -> Iterator[Change]:
    """What differs between two directories."""
    before, after = _names(old), set(_names(new))
    yield from ((f"{path}/{name}", Kind.DELETED) for name in before if name not in after)
    for name in after:
        with closing(os.open(name, _HELD, dir_fd=new)) as own, _below(old, name) as was:
            status = os.fstat(own)
            yield from _judge(f"{path}/{name}", status, was)
            if stat.S_ISDIR(status.st_mode):
                if was is not None and _is_directory(was):
                    yield from trees(was, own, f"{path}/{name}")
                else:
                    yield from overlay(own, None, f"{path}/{name}")


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
def _below(directory: int | None, name: str) -> Iterator[int | None]:
    """The same name in the other tree; None where it lacks it."""
    held = None
    if directory is not None:
        with contextlib.suppress(FileNotFoundError):
            held = os.open(name, _HELD, dir_fd=directory)
    try:
        yield held
    finally:
        if held is not None:
            os.close(held)


def _is_directory(held: int) -> bool:
    return stat.S_ISDIR(os.fstat(held).st_mode)


def _is_opaque(held: int) -> bool:
    """Whether overlayfs hides what lies beneath the directory: it was removed and made again."""
    try:
        return os.getxattr(f"/proc/self/fd/{held}", "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def _names(held: int) -> list[str]:
    with closing(os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as directory:
        return os.listdir(directory)  # noqa: PTH208 - a descriptor
