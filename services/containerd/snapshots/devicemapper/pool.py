"""A thin pool: what it holds, what it is told. How it comes to be, on loop files or given devices, is here too."""

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protos import errdefs
from services.containerd.snapshots.devicemapper import ioctl, loop
from services.containerd.snapshots.devicemapper.ioctl import SECTOR, Target
from services.containerd.snapshots.devicemapper.mapper import Mapper
from services.containerd.snapshots.devicemapper.settings import Settings

log = logging.getLogger("snapshots")

METADATA_BLOCK: Final = 4096
_LOW_WATER: Final = 32768
_GONE: Final = (errno.ENODATA, errno.ENOENT)
_LOOP_WARNING: Final = (
    "Usage of loopback devices is strongly discouraged for production use. Please use `--storage-opt dm.thinpooldev` or"
    " use `man dockerd` to refer to dm.thinpooldev section."
)
_DANGER: Final = {"ro": "read-only", "out_of_data_space": "out of data space", "needs_check": "to be checked"}


@dataclass(frozen=True, slots=True)
class Status:
    """Blocks, but of the transaction."""

    transaction: int
    metadata_used: int
    metadata_total: int
    data_used: int
    data_total: int
    trouble: str = ""


def parse_status(target: Target, name: str) -> Status:
    """`<transaction> <used>/<total metadata> <used>/<total data> <root> <mode> … <needs_check|->`"""
    if target.kind != "thin-pool":
        raise errdefs.FailedPrecondition(f"devmapper: Device {name} is not a thin pool")
    words = target.text.split()
    if len(words) < 3:  # `Fail`, `Error`
        raise errdefs.FailedPrecondition(f"devmapper: thin pool {name} has failed: see the kernel's log, thin_check(8)")
    metadata_used, metadata_total = map(int, words[1].split("/"))
    data_used, data_total = map(int, words[2].split("/"))
    trouble = ", ".join(_DANGER[word] for word in words[3:] if word in _DANGER)
    return Status(int(words[0]), metadata_used, metadata_total, data_used, data_total, trouble)


def pool_table(length: int, metadata: str, data: str, block_size: int) -> Target:
    """Devices as `major:minor`, sizes in bytes."""
    text = f"{metadata} {data} {block_size // SECTOR} {_LOW_WATER} 1 skip_block_zeroing"
    return Target(length // SECTOR, "thin-pool", text)


class Pool:
    def __init__(self, mapper: Mapper, name: str, *, ours: bool) -> None:
        self.name = name
        self.ours = ours
        """Whether it is made here, and taken away when nobody uses it."""
        self._mapper = mapper

    def open(self, root: Path, settings: Settings) -> None:
        """Make it, or finish making it; one that somebody else made must be there."""
        found = self._mapper.status(self.name)
        if found and found.flags & ioctl.ACTIVE_PRESENT:
            if found.flags & ioctl.SUSPEND:
                self._mapper.resume(self.name)
            if self.ours:
                self._extend(root, settings)
            return
        if not self.ours:
            raise errdefs.FailedPrecondition(f"devmapper: thin pool {self.name} does not exist")
        if not (settings.data_device and settings.metadata_device):
            log.warning("%s storage-driver=devicemapper", _LOOP_WARNING)
        with (
            _block_device(settings.data_device, root / "data", settings.loop_data_size) as (data, length),
            _block_device(settings.metadata_device, root / "metadata", settings.loop_metadata_size) as (metadata, _),
        ):
            length -= length % settings.block_size
            self._mapper.activate(self.name, pool_table(length, metadata, data, settings.block_size))

    def _extend(self, root: Path, settings: Settings) -> None:
        """Let loop files grow beneath a pool that is in use."""
        metadata, data, block = self.devices()
        places = [(metadata, "metadata", settings.metadata_device, settings.loop_metadata_size),
                  (data, "data", settings.data_device, settings.loop_data_size)]
        grown = [number for number, name, given, size in places if not given and loop.extend(root / name, size, number)]
        if grown:
            length = loop.size(loop.name(data))
            self._mapper.activate(self.name, pool_table(length - length % block, metadata, data, block))
            log.info("thin pool has grown pool=%s bytes=%d", self.name, length)

    def status(self) -> Status:
        return parse_status(self._mapper.report(self.name), self.name)

    def devices(self) -> tuple[str, str, int]:
        """Metadata and data device as `major:minor`, block size in bytes."""
        metadata, data, block = self._mapper.table(self.name).text.split()[:3]
        return metadata, data, int(block) * SECTOR

    def require_space(self, percent: int) -> None:
        """Docker's rule and words: so much of the pool must be free for a new device."""
        status = self.status()
        if status.trouble:
            raise errdefs.FailedPrecondition(f"devmapper: thin pool {self.name} is {status.trouble}")
        for kind, used, total in (
            ("data", status.data_used, status.data_total), ("metadata", status.metadata_used, status.metadata_total),
        ):
            least, free = max(total * percent // 100, 1), total - used
            if percent and free < least:
                raise errdefs.ResourceExhausted(
                    f"devmapper: Thin Pool has {free} free {kind} blocks which is less than minimum required {least}"
                    f" free {kind} blocks. Create more free space in thin pool or use dm.min_free_space option to"
                    " change behavior"
                )

    def create(self, device: int) -> None:
        self._mapper.message(self.name, f"create_thin {device}")

    def snapshot(self, device: int, origin: int, active: str) -> None:
        """`active` is the origin's name where it is in use: then it must hold still."""
        if active:
            self._mapper.suspend(active)
        try:
            self._mapper.message(self.name, f"create_snap {device} {origin}")
        finally:
            if active:
                self._mapper.resume(active)

    def finish(self, transaction: int) -> None:
        """Close the transaction that made a device."""
        self._mapper.message(self.name, f"set_transaction_id {transaction - 1} {transaction}")

    def delete(self, device: int) -> None:
        """Not an error where there is none."""
        try:
            self._mapper.message(self.name, f"delete {device}")
        except OSError as error:
            if error.errno not in _GONE:
                raise

    def thin(self, device: int, size: int) -> Target:
        """Table of a device."""
        found = self._mapper.status(self.name)
        if found is None:
            raise errdefs.FailedPrecondition(f"devmapper: thin pool {self.name} does not exist")
        major, minor = found.device
        return Target(size // SECTOR, "thin", f"{major}:{minor} {device}")

    def close(self) -> None:
        """Take it away, unless somebody else made it or its devices are in use."""
        if self.ours:
            with contextlib.suppress(OSError):
                self._mapper.remove(self.name)


@contextlib.contextmanager
def _block_device(given: str, file: Path, size: int) -> Iterator[tuple[str, int]]:
    """`major:minor` and length of a device, on a loop file where none is given; that lasts while somebody uses it."""
    if given:
        if not stat.S_ISBLK(Path(given).stat().st_mode):
            raise errdefs.InvalidArgument(f"devmapper: {given} is not a block device")
        descriptor = os.open(given, os.O_RDWR | os.O_CLOEXEC)
    else:
        loop.sparse(file, size)
        descriptor = loop.attach(file)
    try:
        yield loop.number(descriptor), os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)
