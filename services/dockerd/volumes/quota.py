"""Project quotas, for `-o size=`: the directory gets a project of its own, which new files in it inherit, and the file
system limits the project. XFS mounted with `pquota` has them, ext4 with `prjquota`; the kernel must be 5.14 or newer.
"""

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from protos import errdefs
from services.dockerd import linux
from services.dockerd.beneath import closing

_PRJQUOTA: Final = 2
_Q_XSETQLIM, _Q_XGETQSTAT = (ord("X") << 8) + 4, (ord("X") << 8) + 5
_ENFORCED: Final = 1 << 4 | 1 << 5
"""FS_QUOTA_PDQ_ACCT and FS_QUOTA_PDQ_ENFD: projects are counted and held to their limits."""
_FS_IOC_FSGETXATTR, _FS_IOC_FSSETXATTR = 0x801C581F, 0x401C5820
_PROJINHERIT: Final = 0x200
_FSXATTR: Final = struct.Struct("=IIIII8s")
_BLOCK: Final = 512
_FIRST: Final = 1 << 24
"""The smallest project of a volume; smaller numbers are left to others."""


def limit(root: Path, data: Path, size: int) -> None:
    """Hold the new directory `data` of a volume below `root` to `size` bytes; 0 is no limit."""
    if not size:
        return
    with closing(os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as fd:
        if not enforced(fd):
            raise errdefs.InvalidArgument("quota size requested but no quota support")
        project = max([_FIRST, *_projects(root)]) + 1
        set_project(fd, project)
        linux.quotactl_fd(fd, _Q_XSETQLIM, _PRJQUOTA, project, _limits(project, size))


def enforced(fd: int) -> bool:
    """Whether the file system of a directory holds projects to limits."""
    status = ctypes.create_string_buffer(128)
    try:
        linux.quotactl_fd(fd, _Q_XGETQSTAT, _PRJQUOTA, 0, status)
    except OSError:
        return False
    flags: int = struct.unpack_from("=H", status, 2)[0]
    return flags & _ENFORCED == _ENFORCED


def _limits(project: int, size: int) -> ctypes.Array[ctypes.c_char]:
    """struct fs_disk_quota: version, FS_PROJ_QUOTA, FS_DQ_BSOFT | FS_DQ_BHARD, project, both limits in blocks."""
    blocks = -(-size // _BLOCK)
    return ctypes.create_string_buffer(struct.pack("=bbHIQQ", 1, 2, 1 << 2 | 1 << 3, project, blocks, blocks), 112)


def set_project(fd: int, project: int) -> None:
    """Put a directory, and what is made in it from now on, into a project."""
    flags, *others, _, cow, padding = _attributes(fd)
    packed = _FSXATTR.pack(flags | _PROJINHERIT, *others, project, cow, padding)
    fcntl.ioctl(fd, _FS_IOC_FSSETXATTR, packed)


def project_of(fd: int) -> int:
    return int(_attributes(fd)[3])


def _attributes(fd: int) -> tuple[int, int, int, int, int, bytes]:
    """struct fsxattr: flags, extent size, extents, project, extent size of copies."""
    answer = fcntl.ioctl(fd, _FS_IOC_FSGETXATTR, bytes(_FSXATTR.size))
    flags, size, count, project, cow, padding = _FSXATTR.unpack(answer)
    return flags, size, count, project, cow, padding


def _projects(root: Path) -> Iterator[int]:
    """Those of all volumes, also of those that are being made or deleted."""
    for entry in os.scandir(root):
        try:
            directory = os.open(f"{entry.path}/_data", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        with closing(directory):
            yield project_of(directory)
