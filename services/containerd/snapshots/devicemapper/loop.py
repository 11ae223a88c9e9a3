"""Sparse files as block devices: what a thin pool lies on where it is given no devices. include/uapi/linux/loop.h."""

import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Final

_SET_FD: Final = 0x4C00
_CLR_FD: Final = 0x4C01
_SET_STATUS64: Final = 0x4C04
_SET_CAPACITY: Final = 0x4C07
_GET_FREE: Final = 0x4C82
_AUTOCLEAR: Final = 4
_INFO: Final = struct.Struct("=5Q4I64s64s32s2Q")
_TRIES: Final = 64


def sparse(path: Path, size: int) -> None:
    """A file of at least that size; one that is there already only grows."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def extend(path: Path, size: int, number: str) -> bool:
    """Let the file behind the loop device `number` grow to a size, and the device with it; False where it need not."""
    if path.stat().st_size >= size:
        return False
    sparse(path, size)
    device = os.open(name(number), os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, _SET_CAPACITY)
    finally:
        os.close(device)
    return True


def attach(path: Path) -> int:
    """Descriptor of a loop device of the file; it goes with its last user, of which the descriptor is one."""
    backing = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            device = os.open(f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _SET_FD, backing)
            except OSError as error:
                os.close(device)
                if error.errno == errno.EBUSY:  # somebody else has taken it meanwhile
                    continue
                raise
            _clear_itself(device, path)
            return device
        raise OSError(errno.EBUSY, "no free loop device", str(path))
    finally:
        os.close(control)
        os.close(backing)


def _clear_itself(device: int, path: Path) -> None:
    name = os.fsencode(path)[:63]
    try:
        fcntl.ioctl(device, _SET_STATUS64, _INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, _AUTOCLEAR, name, b"", b"", 0, 0))
    except OSError:
        fcntl.ioctl(device, _CLR_FD)
        os.close(device)
        raise


def number(descriptor: int) -> str:
    """`major:minor` of a block device, as tables name it."""
    device = os.fstat(descriptor).st_rdev
    return f"{os.major(device)}:{os.minor(device)}"


def name(number: str) -> str:
    """The device node of `major:minor`."""
    return f"/dev/{Path('/sys/dev/block', number).resolve().name}"


def backing(number: str) -> str:
    """The file behind a loop device; empty where it is none."""
    try:
        return Path("/sys/dev/block", number, "loop/backing_file").read_text().strip()
    except OSError:
        return ""


def size(device: str) -> int:
    """Bytes of a block device or a file."""
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)
