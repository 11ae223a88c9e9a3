"""A container's files, by directory descriptor.

Stopped: a detached mount of its snapshot, in no namespace, gone when the descriptor closes. Running: `/proc/<pid>/root`.
Names beneath it are resolved by the kernel as the container would (`openat2`, RESOLVE_IN_ROOT), never outside.
"""

from collections.abc import Iterable, Sequence

from protos.containerd.types.mount_pb2 import Mount
from services.dockerd.volumes.mountpoint import MountPoint


def detached(mounts: Sequence[Mount], points: Sequence[MountPoint] = ()) -> int:
    """Descriptor of the root of a detached mount of the snapshot, with volumes and binds on top. Blocks for about a millisecond."""
    raise NotImplementedError


def running(pid: int) -> int:
    """Descriptor of a living process's root; NotFound where it has ended."""
    raise NotImplementedError


def open_in(root: int, path: str, flags: int, mode: int = 0) -> int:
    """Open `path` beneath `root`: absolute links and `..` stay inside, magic links are refused. O_CLOEXEC is added."""
    raise NotImplementedError


def resolve(root: int, path: str) -> str:
    """The absolute in-root path that `path` leads to, following links as far as they exist."""
    raise NotImplementedError


def unmount(paths: Iterable[str]) -> None:
    """Lazily unmount host paths; what is not mounted is left."""
    raise NotImplementedError
