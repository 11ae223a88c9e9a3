"""`mounts` of a container: Docker's own, then what the user asked, shallow before deep; the root's propagation."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from protos import errdefs
from services.dockerd.oci import tmpfs
from services.dockerd.oci.defaults import INIT, MOUNTS
from services.dockerd.schema.container import HostConfig, MountBind
from services.dockerd.volumes.mountpoint import MountPoint

Mount = dict[str, Any]

_ALWAYS_WRITABLE: Final = ("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
"""Default mounts that `--read-only` leaves alone."""


def build(
    host: HostConfig, points: Sequence[MountPoint], files: Mapping[str, str], *,
    shm_path: str, init_path: str, readonly_problem: str,
) -> list[Mount]:
    """All mounts; `init_path` "" is no `--init`."""
    own = _user_mounts(host, points, files, shm_path, readonly_problem)
    taken = {mount["destination"] for mount in own}
    defaults = [
        mount for mount in [*MOUNTS, *_private_shm(host, shm_path)]
        if mount["destination"] not in taken
        and not ("/dev" in taken and mount["destination"].startswith("/dev/"))
    ]
    if init_path:
        defaults.append({"destination": INIT, "type": "bind", "source": init_path, "options": ["bind", "ro"]})
    return [_adjust(mount, host) for mount in defaults] + own


def rootfs_propagation(points: Sequence[MountPoint]) -> str:
    """`linux.rootfsPropagation` that shared and slave binds need; InvalidArgument where the host's mount is neither."""
    chosen = ""
    for point in points:
        if point.propagation in ("shared", "rshared"):
            if not _tagged(point.source, ("shared:",)):
                raise _not(point.source, "a shared mount")
            chosen = "shared"
        elif point.propagation in ("slave", "rslave"):
            if _tagged(point.source, ("shared:", "master:")):
                chosen = chosen or "rslave"
            elif point.spec.BindOptions and point.spec.BindOptions.Propagation:  # else it was our own choice
                raise _not(point.source, "a shared or slave mount")
    return chosen


def _user_mounts(
    host: HostConfig, points: Sequence[MountPoint], files: Mapping[str, str], shm_path: str, readonly_problem: str
) -> list[Mount]:
    mounts = [_point(point, readonly_problem) for point in points]
    taken = {mount["destination"] for mount in mounts}
    for destination, options in (host.Tmpfs or {}).items():
        mounts.append(_tmpfs(os.path.normpath(destination), options.split(",")))
    for destination, source in files.items():
        if destination not in taken:
            access = ["ro"] if host.ReadonlyRootfs else []
            mounts.append(_bind(destination, source, ["rbind", *access, "rprivate"]))
    if shm_path:
        mounts.append(_bind("/dev/shm", shm_path, ["rbind", "rprivate"]))
    return sorted(mounts, key=lambda mount: mount["destination"].rstrip("/").count("/"))


def _point(point: MountPoint, readonly_problem: str) -> Mount:
    if point.type == "tmpfs":
        return _tmpfs(
            point.destination, tmpfs.from_mount(point.spec.TmpfsOptions, read_only=bool(point.spec.ReadOnly))
        )
    bind = point.spec.BindOptions or MountBind()
    options = ["bind" if bind.NonRecursive else "rbind"]
    if not point.rw:
        options.append("ro")
        if bind.ReadOnlyForceRecursive and readonly_problem:
            raise errdefs.InvalidArgument(readonly_problem)
        if not readonly_problem and not bind.ReadOnlyNonRecursive and not bind.NonRecursive:
            options.append("rro")
    if point.propagation:
        options.append(point.propagation)
    return _bind(point.destination, point.source, options)


def _bind(destination: str, source: str, options: list[str]) -> Mount:
    return {"destination": destination, "type": "bind", "source": source, "options": options}


def _tmpfs(destination: str, options: Sequence[str]) -> Mount:
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": tmpfs.merge(options)}


def _private_shm(host: HostConfig, shm_path: str) -> list[Mount]:
    if shm_path or host.IpcMode == "none":
        return []
    options = ["nosuid", "noexec", "nodev", "mode=1777", f"size={host.ShmSize}"]
    return [{"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": options}]


def _adjust(mount: Mount, host: HostConfig) -> Mount:
    """A default mount under `--read-only` and `--privileged`."""
    options: list[str] = mount["options"]
    if host.ReadonlyRootfs and mount["destination"] not in _ALWAYS_WRITABLE and "ro" not in options:
        options = [*options, "ro"]
    if host.Privileged and mount["type"] in ("sysfs", "cgroup"):
        options = [option for option in options if option != "ro"]
    return mount if options is mount["options"] else {**mount, "options": options}


def _tagged(source: str, wanted: tuple[str, ...]) -> bool:
    return any(tag.startswith(wanted) for tag in _mount_of(os.path.realpath(source))[1])


def _not(source: str, name: str) -> errdefs.InvalidArgument:
    mountpoint, _ = _mount_of(os.path.realpath(source))
    return errdefs.InvalidArgument(f"path {source} is mounted on {mountpoint} but it is not {name}")


def _mount_of(path: str) -> tuple[str, list[str]]:
    """The mount a path lies on, and the optional fields (propagation) of its mountinfo line."""
    best, tags = "", []
    with open("/proc/self/mountinfo") as table:  # noqa: PTH123 - a file of the kernel
        for line in table:
            fields = line.split(" ")
            mountpoint = fields[4].encode().decode("unicode_escape")
            inside = path == mountpoint or path.startswith(mountpoint.rstrip("/") + "/")
            if inside and len(mountpoint) >= len(best):
                best, tags = mountpoint, fields[6 : fields.index("-")]
    return best, tags
