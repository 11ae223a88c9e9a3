"""The kernel's device-mapper: devices by name, their tables, messages to them. Wrappers that raise OSError.

Nodes below /dev/mapper are made here, as libdevmapper does without udev; udev is asked to keep its hands off.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Final, Protocol

from services.containerd.snapshots.devicemapper import ioctl
from services.containerd.snapshots.devicemapper.ioctl import Reply, Target

NODES: Final = Path("/dev/mapper")
_ROOM: Final = 16 << 10
_HEARD: Final = (ioctl.DEV_CREATE, ioctl.DEV_SUSPEND, ioctl.DEV_REMOVE)
"""Calls of which the kernel tells udev."""


class Mapper(Protocol):
    """Device-mapper as this driver needs it; tests have one of their own."""

    def version(self) -> tuple[int, int, int]: ...

    def node(self, name: str) -> Path:
        """Where the device is opened and mounted from."""

    def status(self, name: str) -> Reply | None:
        """None where there is no such device."""

    def table(self, name: str) -> Target: ...

    def report(self, name: str) -> Target:
        """What the device's target says of itself."""

    def activate(self, name: str, table: Target) -> None:
        """Make the device, or finish making it; with another table it takes that one."""

    def suspend(self, name: str) -> None:
        """Write back and freeze what is on it, and hold further writes."""

    def resume(self, name: str) -> None: ...

    def message(self, name: str, text: str) -> None: ...

    def remove(self, name: str, *, deferred: bool = False) -> None:
        """Not an error where there is none. `deferred`: when its last user goes, where it has one."""


class Kernel:
    """Opens the control device at the first call, for it may have to be made by loading a module."""

    def __init__(self) -> None:
        self._control = -1

    def _call(self, number: int, name: str, flags: int = 0, payload: bytes = b"", targets: int = 0) -> Reply:
        if self._control < 0:
            self._control = os.open(ioctl.CONTROL, os.O_RDWR | os.O_CLOEXEC)
        event = ioctl.HANDS_OFF if number in _HEARD else 0
        buffer = ioctl.encode(name, flags, payload, targets, _ROOM, event)
        try:
            fcntl.ioctl(self._control, ioctl.request_code(number), buffer)
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), name or ioctl.CONTROL) from error
        return ioctl.decode(bytes(buffer))

    def node(self, name: str) -> Path:
        return NODES / name

    def version(self) -> tuple[int, int, int]:
        return self._call(ioctl.VERSION, "").version

    def status(self, name: str) -> Reply | None:
        try:
            return self._call(ioctl.DEV_STATUS, name)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return None
            raise

    def table(self, name: str) -> Target:
        return self._one(name, ioctl.STATUS_TABLE)

    def report(self, name: str) -> Target:
        return self._one(name, ioctl.NOFLUSH)

    def _one(self, name: str, flags: int) -> Target:
        targets = self._call(ioctl.TABLE_STATUS, name, flags).targets
        if len(targets) != 1:
            raise OSError(errno.ENODATA, f"device has {len(targets)} targets instead of one", name)
        return targets[0]

    def activate(self, name: str, table: Target) -> None:
        made = self.status(name) is None
        if made:
            self._call(ioctl.DEV_CREATE, name)
        try:
            self._call(ioctl.TABLE_LOAD, name, payload=ioctl.encode_target(table), targets=1)
            self.resume(name)
        except OSError:
            if made:
                self.remove(name)
            raise
        found = self.status(name)
        if found is not None:
            _make_node(name, found.device)

    def suspend(self, name: str) -> None:
        self._call(ioctl.DEV_SUSPEND, name, ioctl.SUSPEND)

    def resume(self, name: str) -> None:
        self._call(ioctl.DEV_SUSPEND, name)

    def message(self, name: str, text: str) -> None:
        self._call(ioctl.TARGET_MSG, name, payload=ioctl.encode_message(text))

    def remove(self, name: str, *, deferred: bool = False) -> None:
        try:
            self._call(ioctl.DEV_REMOVE, name, ioctl.DEFERRED_REMOVE if deferred else 0)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        if self.status(name) is None:
            with contextlib.suppress(FileNotFoundError):
                _unmake_node(NODES / name)


def ready() -> str:
    """Why there is no device-mapper with thin pools here; empty where there is, its modules loaded if need be."""
    for module in ("dm-mod", "dm-thin-pool", "loop"):
        program = shutil.which("modprobe", path="/usr/sbin:/usr/bin:/sbin:/bin")
        if program:
            subprocess.run([program, "-q", module], stdin=subprocess.DEVNULL, check=False)
    devices = Path("/proc/misc").read_text().split()
    if "device-mapper" not in devices:
        return "the kernel has no device-mapper: modprobe dm-thin-pool"
    if not Path(ioctl.CONTROL).exists():
        NODES.mkdir(exist_ok=True)
        number = int(devices[devices.index("device-mapper") - 1])
        os.mknod(ioctl.CONTROL, stat.S_IFCHR | 0o600, os.makedev(10, number))
    return ""


def _make_node(name: str, device: tuple[int, int]) -> None:
    path = NODES / name
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_rdev == os.makedev(*device):
            return
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # of a device of that name, under another number, that is gone
    with contextlib.suppress(FileExistsError):  # udev was faster
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(*device))


def _unmake_node(path: Path) -> None:
    """A link is udev's, which takes it itself."""
    if not path.is_symlink():
        path.unlink()
