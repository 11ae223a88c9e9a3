"""What every container's root has whatever its image holds: /.dockerenv, /proc, /sys, /dev and the network's files.

It is a snapshot of its own between the image's and the container's, made once per image and shared: so it is in no
commit and no `diff`, and costs a start nothing. An image's links in these places are replaced, lest a runtime mount
through them. Should it be collected, it is made again.
"""

import asyncio
import contextlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Sequence
from typing import Final

from protos import errdefs, snapshots
from protos.containerd.services.snapshots.v1 import snapshots_pb2
from protos.containerd.types.mount_pb2 import Mount
from services.dockerd import rootfs
from services.dockerd.beneath import closing
from services.dockerd.remote.client import Client

_DIRECTORIES: Final = ("dev", "dev/pts", "dev/shm", "etc", "proc", "sys")
_FILES: Final = (".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf")
_TRIES: Final = 5


async def prepare(
    client: Client, snapshotter: str, chain_id: str, key: str, size: int = 0, owner: tuple[int, int] = (0, 0)
) -> list[Mount]:
    """A writable snapshot `key` on the skeleton of the image's `chain_id` ("" is an empty image); its mounts.

    `size` is the bytes that may be written, 0 for what the driver's options say. `owner` has the skeleton.
    Its label keeps it from collection until a container's record refers to it.
    """
    for _ in range(_TRIES):
        labels = _root_label() | ({snapshots.SIZE: str(size)} if size else {})
        request = snapshots_pb2.PrepareSnapshotRequest(
            snapshotter=snapshotter, key=key, parent=name(chain_id), labels=labels
        )
        with contextlib.suppress(errdefs.NotFound):
            return list((await client.call(client.snapshots.Prepare, request)).mounts)
        await _make(client, snapshotter, chain_id, owner)
    raise errdefs.Unavailable(f"the skeleton of image {chain_id} is collected as soon as it is made")


def name(chain_id: str) -> str:
    """Key of the skeleton's snapshot."""
    return f"skeleton {chain_id or 'empty'}"


async def _make(client: Client, snapshotter: str, chain_id: str, owner: tuple[int, int]) -> None:
    """Make the skeleton; NotFound where the image's own snapshot is missing."""
    key = f"{name(chain_id)} {secrets.token_hex(8)}"
    request = snapshots_pb2.PrepareSnapshotRequest(
        snapshotter=snapshotter, key=key, parent=chain_id, labels=_root_label()
    )
    mounts = (await client.call(client.snapshots.Prepare, request)).mounts
    try:
        await asyncio.to_thread(_fill, mounts, owner, bare=not chain_id)
        commit = snapshots_pb2.CommitSnapshotRequest(
            snapshotter=snapshotter, key=key, name=name(chain_id), labels=_kept_by(snapshotter, chain_id)
        )
        with contextlib.suppress(errdefs.AlreadyExists):  # another create was quicker
            await client.call(client.snapshots.Commit, commit)
            return
    except BaseException:
        await _remove(client, snapshotter, key)
        raise
    await _remove(client, snapshotter, key)


async def _remove(client: Client, snapshotter: str, key: str) -> None:
    request = snapshots_pb2.RemoveSnapshotRequest(snapshotter=snapshotter, key=key)
    with contextlib.suppress(errdefs.NotFound):
        await client.call(client.snapshots.Remove, request)


def _root_label() -> dict[str, str]:
    return {"containerd.io/gc.root": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def _kept_by(snapshotter: str, chain_id: str) -> dict[str, str]:
    """Lives as long as the image's own snapshot; a containerd that does not know the label collects it when unused."""
    return {f"containerd.io/gc.bref.snapshot.{snapshotter}": chain_id} if chain_id else _root_label()


def _fill(mounts: Sequence[Mount], owner: tuple[int, int], *, bare: bool) -> None:
    with closing(rootfs.detached(mounts)) as root:
        if bare:
            os.chown(".", *owner, dir_fd=root)
        fill(root, owner)


def fill(root: int, owner: tuple[int, int] = (0, 0)) -> None:
    """Make what is missing beneath the directory descriptor `root`; links in its places go. Nothing is followed."""
    for path in _DIRECTORIES:
        with closing(_parent(root, path)) as parent:
            _directory(parent, path.rpartition("/")[2], owner)
    for path in _FILES:
        with closing(_parent(root, path)) as parent:
            _file(parent, path.rpartition("/")[2], owner)
    with closing(_parent(root, "etc/mtab")) as etc, contextlib.suppress(FileExistsError):
        os.symlink("/proc/mounts", "mtab", dir_fd=etc)
        os.chown("mtab", *owner, dir_fd=etc, follow_symlinks=False)


def _parent(root: int, path: str) -> int:
    parent = path.rpartition("/")[0] or "."
    return os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)


def _directory(parent: int, name: str, owner: tuple[int, int]) -> None:
    if not _clear(parent, name, stat.S_ISDIR):
        os.mkdir(name, 0o755, dir_fd=parent)
        os.chmod(name, 0o755, dir_fd=parent)  # whatever the umask
        os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)


def _file(parent: int, name: str, owner: tuple[int, int]) -> None:
    if not _clear(parent, name, lambda mode: stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with closing(os.open(name, flags, 0o755, dir_fd=parent)) as file:
            os.fchmod(file, 0o755)
            os.fchown(file, *owner)


def _clear(parent: int, name: str, fits: Callable[[int], bool]) -> bool:
    """True where the right kind of thing is there; what is there instead is removed."""
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    if fits(mode):
        return True
    if stat.S_ISDIR(mode):
        os.rmdir(name, dir_fd=parent)
    else:
        os.unlink(name, dir_fd=parent)
    return False
