"""Project quotas: a limit on the bytes below a directory, kept by the file system (xfs and ext4 with `prjquota`).

A snapshot's number, counted from the project of the driver's root, is its project: no list has to be kept.
"""

import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Final

from services.containerd import linux

_FSXATTR: Final = struct.Struct("=5I8s")
_GET: Final = 0x801C581F  # FS_IOC_FSGETXATTR
_SET: Final = 0x401C5820  # FS_IOC_FSSETXATTR
_INHERIT: Final = 0x200  # FS_XFLAG_PROJINHERIT
_DISK_QUOTA: Final = struct.Struct("=bbHI6Q2i2Hi3Qi2H8s")
_VERSION, _PROJECT_QUOTA, _BLOCK_LIMITS = 1, 2, 0b1100
_SETLIMIT: Final = 0x5804 << 8 | 2  # QCMD(Q_XSETQLIM, PRJQUOTA)
_BLOCK: Final = 512


class Projects:
    def __init__(self, home: Path) -> None:
        """OSError where the file system of `home` keeps no project quotas."""
        self._home = home
        self._first = max(_read(home)[3], 1)
        try:
            self._limit(self._first, 0)
        except OSError as error:
            reason = "quotas are not on" if error.errno in (errno.ESRCH, errno.ENOSYS) else error.strerror
            raise OSError(error.errno, f"{reason}: mount it with the option pquota", str(home)) from error

    def confine(self, directory: Path, number: int, size: int) -> None:
        """Let all that is made below an empty directory from now on count against `size`."""
        project = self._first + number
        self._limit(project, size)
        flags, *others, _, cow, rest = _read(directory)
        with_project = _FSXATTR.pack(flags | _INHERIT, *others, project, cow, rest)
        held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(held, _SET, with_project)
        finally:
            os.close(held)

    def release(self, number: int) -> None:
        """Take the limit of a snapshot that goes: its number may come again."""
        self._limit(self._first + number, 0)

    def _limit(self, project: int, size: int) -> None:
        blocks = size // _BLOCK
        wanted = _DISK_QUOTA.pack(
            _VERSION, _PROJECT_QUOTA, _BLOCK_LIMITS, project, blocks, blocks, *[0] * 15, bytes(8)
        )
        held = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            linux.quotactl_fd(held, _SETLIMIT, project, wanted)
        finally:
            os.close(held)


def _read(directory: Path) -> tuple[int, int, int, int, int, bytes]:
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags, extent, extents, project, cow, rest = _FSXATTR.unpack(fcntl.ioctl(held, _GET, bytes(_FSXATTR.size)))
        return flags, extent, extents, project, cow, rest
    finally:
        os.close(held)
