"""The root of a container's files as a directory descriptor; names beneath it: beneath.py.

Stopped: a detached mount of its snapshot, in no namespace, gone when the descriptor closes. Running:
`/proc/<pid>/root`. Where volumes lie on top, or an old kernel wants mount(2), the tree is built in the private
namespace of a short-lived thread.
"""

import contextlib
import errno
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.dockerd import beneath, linux
from services.dockerd.beneath import closing
from services.dockerd.oci.facts import facts
from services.dockerd.volumes.mountpoint import MountPoint

_HARMLESS: Final = linux.MOUNT_ATTR_NODEV | linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NOEXEC
_OLD_KERNEL: Final = (errno.EINVAL, errno.ENOSYS, errno.E2BIG)
"""What fsconfig says where it cannot take layers one by one (before 6.7)."""
_LAYERS_ONE_BY_ONE: Final = (6, 7)
_CLONE: Final = linux.OPEN_TREE_CLONE | linux.AT_RECURSIVE
_BASE: Final = "/sys"
"""Where the short-lived namespace puts the root: any directory that always exists."""
FLAGS: Final = {
    "ro": linux.MS_RDONLY, "nosuid": linux.MS_NOSUID, "nodev": linux.MS_NODEV, "noexec": linux.MS_NOEXEC,
    "sync": linux.MS_SYNCHRONOUS, "dirsync": linux.MS_DIRSYNC, "noatime": linux.MS_NOATIME,
    "nodiratime": linux.MS_NODIRATIME, "relatime": linux.MS_RELATIME, "strictatime": linux.MS_STRICTATIME,
    "rbind": linux.MS_BIND | linux.MS_REC, "bind": linux.MS_BIND, "rw": 0, "defaults": 0,
    "suid": 0, "dev": 0, "exec": 0, "async": 0, "atime": 0, "remount": linux.MS_REMOUNT,
}
"""Mount options that are flags; the rest is a file system's own."""


def running(pid: int, container_id: str = "") -> int:
    """Descriptor of a living process's root; NotFound where it has ended.

    With `container_id` the process must be in a cgroup of that name: a number that was given away again is not.
    """
    try:
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if container_id and container_id not in Path(f"/proc/{pid}/cgroup").read_text():
            os.close(root)
            raise ProcessLookupError
    except (FileNotFoundError, ProcessLookupError) as error:
        raise errdefs.NotFound(f"process {pid} has ended") from error
    return root


def detached(mounts: Sequence[Mount], points: Sequence[MountPoint] = ()) -> int:
    """Descriptor of the root of a detached mount of the snapshot, with volumes and binds on top.

    Blocks for about a millisecond. Devices, set-uid bits and programs of the snapshot have no effect through it.
    """
    if not points and len(mounts) == 1:
        with contextlib.suppress(_TooOld):
            return _free_mount(mounts[0])
    return _in_namespace(lambda: _assemble(mounts, points))


def viewed(mounts: Sequence[Mount]) -> int:
    """Descriptor of a detached mount of an image's snapshot, read-only, for a container to see."""
    if len(mounts) == 1:
        with contextlib.suppress(_TooOld):
            return _free_mount(mounts[0], linux.MOUNT_ATTR_RDONLY)

    def attach() -> int:
        with closing(_attach_root(mounts, linux.MOUNT_ATTR_RDONLY)) as root:
            tree = linux.open_tree(root, "", _CLONE | linux.AT_EMPTY_PATH)
        linux.mount_setattr(tree, linux.MOUNT_ATTR_RDONLY)
        return tree

    return _in_namespace(attach)


def readonly(mounts: Sequence[Mount]) -> list[Mount]:
    """The same files to look at: stacked layers all as lower ones, so that a start meanwhile finds its own."""
    chosen = []
    for mount in mounts:
        options = dict(option.partition("=")[::2] for option in mount.options)
        if mount.type == "overlay" and "upperdir" in options:
            layers = f"{options['upperdir'].replace(':', chr(92) + ':')}:{options['lowerdir']}"
            kept = [each for each in mount.options if each.partition("=")[0] not in ("upperdir", "workdir", "lowerdir")]
            mount = Mount(type="overlay", source=mount.source, options=[*kept, f"lowerdir={layers}"])
        elif mount.type == "aufs":
            shown = [option.replace("=rw:", "=ro+wh:", 1) for option in mount.options]
            mount = Mount(type="aufs", source=mount.source, options=[*shown, "ro"])
        chosen.append(mount)
    return chosen


def bare(pid: int) -> int:
    """Descriptor of a living process's root file system without what is mounted on it: no volumes, no /proc."""

    def clone() -> int:
        linux.unshare(linux.CLONE_FS)
        with closing(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)) as namespace:
            linux.setns(namespace, linux.CLONE_NEWNS)
        tree = linux.open_tree(linux.AT_FDCWD, "/", linux.OPEN_TREE_CLONE)
        linux.mount_setattr(tree, _HARMLESS | linux.MOUNT_ATTR_RDONLY)
        return tree

    try:
        return _in_thread(clone)
    except FileNotFoundError as error:
        raise errdefs.NotFound(f"process {pid} has ended") from error


def split_options(options: Iterable[str]) -> tuple[int, str]:
    """Flags and data for mount(2)."""
    flags, data = 0, []
    for option in options:
        if option in FLAGS:
            flags |= FLAGS[option]
        else:
            data.append(option)
    return flags, ",".join(data)


class _TooOld(Exception):
    """The kernel has no mount API that can do this."""


def _free_mount(mount: Mount, attributes: int = _HARMLESS) -> int:
    """A detached mount, without any namespace."""
    flags, _ = split_options(mount.options)
    if mount.type == "bind" or flags & linux.MS_BIND:
        root = linux.open_tree(linux.AT_FDCWD, mount.source, _CLONE)
    else:
        try:
            root = _new_filesystem(mount)
        except OSError as error:
            if error.errno in _OLD_KERNEL:
                raise _TooOld from error
            raise
    linux.mount_setattr(root, attributes | (linux.MOUNT_ATTR_RDONLY if flags & linux.MS_RDONLY else 0))
    return root


def _new_filesystem(mount: Mount) -> int:
    with closing(linux.fsopen(mount.type)) as fs:
        linux.fsconfig(fs, linux.FSCONFIG_SET_STRING, "source", mount.source or mount.type)
        for option in mount.options:
            key, assigned, value = option.partition("=")
            if key == "lowerdir":
                if facts().kernel < _LAYERS_ONE_BY_ONE:  # asked in vain, it would write a line into its log
                    raise _TooOld
                for layer in _layers(value):
                    linux.fsconfig(fs, linux.FSCONFIG_SET_STRING, "lowerdir+", layer)
            elif assigned:
                linux.fsconfig(fs, linux.FSCONFIG_SET_STRING, key, value)
            elif key not in FLAGS or key == "ro":
                linux.fsconfig(fs, linux.FSCONFIG_SET_FLAG, key)
        linux.fsconfig(fs, linux.FSCONFIG_CMD_CREATE)
        return linux.fsmount(fs)


def _layers(lowerdir: str) -> list[str]:
    return [part.replace("\\:", ":") for part in re.split(r"(?<!\\):", lowerdir)]


def _in_namespace(work: Callable[[], int]) -> int:
    """Run `work` in a thread with a mount namespace of its own, which ends with the thread."""

    def apart() -> int:
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
        return work()

    return _in_thread(apart)


def _in_thread(work: Callable[[], int]) -> int:
    """Run `work`, which changes what belongs to its thread alone, in one that ends with it."""
    outcome: list[int | BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, name="mounts")
    thread.start()
    thread.join()
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result


def _assemble(mounts: Sequence[Mount], points: Sequence[MountPoint]) -> int:
    with contextlib.ExitStack() as stack:
        sources = [(point, _source(stack, point)) for point in points if point.source and os.path.lexists(point.source)]
        root = stack.enter_context(closing(_attach_root(mounts)))
        for point, source in sorted(sources, key=lambda pair: pair[0].destination.count("/")):
            with closing(_mountpoint(root, point.destination, source)) as target:
                linux.move_mount(source, target)
        tree = linux.open_tree(root, "", _CLONE | linux.AT_EMPTY_PATH)
    linux.mount_setattr(tree, _HARMLESS)
    return tree


def _source(stack: contextlib.ExitStack, point: MountPoint) -> int:
    """A detached clone of a bind's or volume's source."""
    source = linux.open_tree(linux.AT_FDCWD, point.source, _CLONE)
    stack.callback(os.close, source)
    if not point.rw:
        linux.mount_setattr(source, linux.MOUNT_ATTR_RDONLY)
    return source


def _attach_root(mounts: Sequence[Mount], attributes: int = _HARMLESS) -> int:
    """Mount the snapshot in this thread's namespace; the descriptor of its root."""
    try:
        if len(mounts) != 1:
            raise _TooOld
        root = _free_mount(mounts[0], attributes)
    except _TooOld:
        for mount in mounts:
            _mount_by_path(mount)
        return os.open(_BASE, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with closing(os.open(_BASE, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as base:
        linux.move_mount(root, base)
    return root


def _mount_by_path(mount: Mount) -> None:
    """mount(2); many layers are named relative to their common directory, for its data is one page at most."""
    flags, data = split_options(mount.options)
    lower = next((option[9:] for option in mount.options if option.startswith("lowerdir=")), "")
    if len(data) >= os.sysconf("SC_PAGE_SIZE"):
        common = os.path.commonpath(lower.split(":"))
        os.chdir(common)  # of this thread alone: CLONE_NEWNS unshares its working directory too
        data = data.replace(lower, ":".join(os.path.relpath(layer, common) for layer in lower.split(":")))
    linux.mount(mount.source, _BASE, mount.type, flags, data)


def _mountpoint(root: int, destination: str, source: int) -> int:
    """The place a volume goes to, made beneath the root as the runtime would make it."""
    path = beneath.resolve(root, destination)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return beneath.open_in(root, path, os.O_PATH)
    if stat.S_ISDIR(os.fstat(source).st_mode):
        return beneath.make_directories(root, path)
    parent, _, name = path.rpartition("/")
    with closing(beneath.make_directories(root, parent)) as directory:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o755, dir_fd=directory))
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
