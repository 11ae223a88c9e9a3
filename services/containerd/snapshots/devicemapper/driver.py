"""Storage driver `devmapper`: a snapshot is a thin device with a file system; Docker calls it devicemapper.

Theory. The pool knows devices by numbers, and says of each operation that it is done only once it is on disk. A device
is made so: its record is written (records.py); the pool makes it; the pool's transaction id goes up; the snapshot's row
follows. Whoever dies in between leaves a record without a row: it is discarded at the next start, device and all.
A device is deleted so: its directory moves to the trash; later it is deactivated; the pool forgets it; the directory
goes. A row whose transaction the pool has not seen tells of a pool that is another one, or an older copy.
"""

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from protos import errdefs
from protos import snapshots as wire
from protos.containerd.types.mount_pb2 import Mount
from services.containerd.diff.mounted import mounted, unmount_leftovers
from services.containerd.snapshots.devicemapper import filesystem, ioctl, mapper, records
from services.containerd.snapshots.devicemapper.mapper import Kernel, Mapper
from services.containerd.snapshots.devicemapper.pool import Pool
from services.containerd.snapshots.devicemapper.records import Device, PoolRecord
from services.containerd.snapshots.devicemapper.rows import human, rows
from services.containerd.snapshots.devicemapper.settings import Settings, parse
from services.containerd.snapshots.directories import TRASH, changed_usage, disk_usage
from services.containerd.snapshots.numbered import Numbered

log = logging.getLogger("snapshots")

_BASE: Final = 0
_IDS: Final = 1 << 24
_BLKDISCARD: Final = 0x1277


class DeviceMapper(Numbered):
    name = "devmapper"
    docker = "devicemapper"
    lazy = True
    seals = True

    def __init__(self, root: Path, options: Mapping[str, str] = {}, kernel: Mapper | None = None) -> None:
        super().__init__(root)
        self._settings = parse(options)
        self._mapper = kernel or Kernel()
        self._lock = threading.Lock()
        """Of the pool's numbers and transaction, and of devices that come and go meanwhile."""
        self._shown: set[int] = set()
        """Snapshots whose mounts somebody was given: their devices stay."""
        self._measuring = threading.Lock()
        self._mounts = root / "mounts"
        self._pool: Pool
        self._record: PoolRecord
        self._transaction = 0
        self._ids: set[int] = set()

    def refusal(self, scratch: Path) -> str:
        return mapper.ready()

    # Opening and closing

    def open(self, known: set[int]) -> None:
        super().open(known)
        unmount_leftovers(self._mounts)
        found = records.read_pool(self.root)
        if found:
            self._settings = self._remembered(found)
        given = self._settings.pool
        self._pool = Pool(self._mapper, given or f"{records.prefix(self.root)}-pool", ours=not given)
        self._pool.open(self.root, self._settings)
        self._record = found or self._take()
        if self._record.uuid:
            self._verify()
        else:
            self._make_base()
        self._recover(known)
        self._grow_base()

    def _remembered(self, found: PoolRecord) -> Settings:
        """Where the pool lies need not be said again, as where another driver is the one in use now."""
        settings = self._settings
        if not settings.pool and not settings.data_device and not settings.metadata_device:
            settings = replace(settings, pool=found.given, data_device=found.data, metadata_device=found.metadata)
        return replace(settings, block_size=found.block_size)

    def _take(self) -> PoolRecord:
        """A pool that somebody gave must be new: whatever is in it is not ours to delete."""
        status, name = self._pool.status(), self._pool.name
        if not self._pool.ours and status.data_used:
            raise errdefs.FailedPrecondition(
                f"devmapper: Unable to take ownership of thin-pool ({name}) that already has used data blocks"
            )
        if not self._pool.ours and status.transaction:
            raise errdefs.FailedPrecondition(
                f"devmapper: Unable to take ownership of thin-pool ({name}) with non-zero transaction ID"
            )
        record = PoolRecord(
            self._settings.pool, self._settings.data_device, self._settings.metadata_device, self._pool.devices()[2],
            filesystem.choose(self._settings.filesystem), Device(_BASE, self._settings.base_size),
        )
        records.write_pool(self.root, record)
        return record

    def _make_base(self) -> None:
        """Again from the beginning where an earlier life got half-way."""
        device, kind = self._device_name("base"), self._record.filesystem
        log.info("making the base device pool=%s filesystem=%s size=%d", self._pool.name, kind, self._record.base.size)
        self._mapper.remove(device)
        self._pool.delete(_BASE)
        self._pool.create(_BASE)
        self._mapper.activate(device, self._pool.thin(_BASE, self._record.base.size))
        node = str(self._mapper.node(device))
        filesystem.make(kind, node, self._settings.mkfs)
        with mounted([self._mount(device)], self._mounts) as root:
            for entry in root.iterdir():  # lost+found
                entry.rmdir()
            root.chmod(0o755)
        self._keep(replace(self._record, uuid=filesystem.read_uuid(kind, node)))
        self._mapper.remove(device)

    def _keep(self, record: PoolRecord) -> None:
        records.write_pool(self.root, record)
        self._record = record

    def _verify(self) -> None:
        with self._active("base", self._record.base) as device:
            found = filesystem.read_uuid(self._record.filesystem, str(self._mapper.node(device)))
        if found != self._record.uuid:
            raise errdefs.FailedPrecondition(
                "devmapper: Base Device UUID and Filesystem verification failed: devmapper: Current Base Device"
                f" UUID:{found} does not match with stored UUID:{self._record.uuid}. Possibly using a different thin"
                " pool than last invocation"
            )
        if self._settings.filesystem not in ("", self._record.filesystem):
            log.warning(
                "devmapper: Base device already exists and has filesystem %s on it."
                " User specified filesystem %s will be ignored.", self._record.filesystem, self._settings.filesystem,
            )

    def _recover(self, known: set[int]) -> None:
        self._transaction = self._pool.status().transaction
        self._ids = {_BASE, *(each.id for each in records.all_below(self.root, self.root / TRASH))}
        for number in known:
            device = self._device(number)
            if device.transaction > self._transaction:
                raise errdefs.DataLoss(
                    f"devmapper: snapshot {number} was made by transaction {device.transaction} of thin pool"
                    f" {self._pool.name}, which is at {self._transaction}: it is an older copy, or another pool"
                )
            found = self._mapper.status(self._device_name(number))
            if found and found.flags & ioctl.SUSPEND:
                self._mapper.resume(self._device_name(number))
        try:
            self.sweep()
        except OSError as error:
            log.warning("cannot delete removed snapshots, trying again later driver=%s error=%s", self.name, error)

    def _grow_base(self) -> None:
        """`dm.basesize` may grow: what is made from then on is larger."""
        wanted, base = self._settings.base_size, self._record.base
        if self._settings.base_size_given and wanted < base.size:
            raise errdefs.InvalidArgument(f"devmapper: Base device size cannot be smaller than {human(base.size)}")
        if self._settings.base_size_given and wanted > base.size:
            base = replace(base, size=wanted)
            self._keep(replace(self._record, base=base, growing=True))
        if self._record.growing:
            self._grow("base", base)
            self._keep(replace(self._record, growing=False))

    def close(self) -> None:
        """Give devices back that nobody has mounted, and then the pool."""
        with contextlib.suppress(OSError):
            self.sweep()
        for entry in self.root.iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    self._mapper.remove(self._device_name(int(entry.name)))
        self._pool.close()

    # Snapshots

    def make(self, number: int, parents: list[int], *, writable: bool, size: int = 0) -> None:
        origin = self._device(parents[0]) if parents else self._record.base
        if size and size < origin.size:
            raise errdefs.InvalidArgument(f"devmapper: Container size cannot be smaller than {human(origin.size)}")
        with self._lock:
            self._pool.require_space(self._settings.min_free)
            made = self._snapshot(number, origin, self._device_name(parents[0] if parents else "base"))
        if size > origin.size:
            made = replace(made, size=size)
            self._grow(number, made)
            records.write(self._directories.path(number), made)
        self._mapper.activate(self._device_name(number), self._pool.thin(made.id, made.size))

    def _snapshot(self, number: int, origin: Device, active: str) -> Device:
        """A number that the pool has, though no record does, is left alone."""
        holding = active if self._mapper.status(active) else ""
        while True:
            made = Device(self._free_id(), origin.size, self._transaction + 1)
            records.write(self._directories.path(number), made)
            try:
                self._pool.snapshot(made.id, origin.id, holding)
                break
            except OSError as error:
                if error.errno != errno.EEXIST:
                    raise
                log.warning("thin pool has a device that is not recorded pool=%s id=%d", self._pool.name, made.id)
        self._pool.finish(made.transaction)
        self._transaction = made.transaction
        return made

    def _free_id(self) -> int:
        found = next((each for each in range(1, _IDS) if each not in self._ids), 0)
        if not found:
            raise errdefs.ResourceExhausted(f"devmapper: thin pool {self._pool.name} has no number left for a device")
        self._ids.add(found)
        return found

    def mounts(self, number: int, parents: list[int], *, writable: bool) -> list[Mount]:
        self._shown.add(number)
        device = self._device_name(number)
        if self._mapper.status(device) is None:  # after a boot
            made = self._device(number)
            self._mapper.activate(device, self._pool.thin(made.id, made.size))
        return [self._mount(device, "rw" if writable else "ro")]

    def seal(self, number: int, parents: list[int]) -> None:
        """What is committed is not mounted any more: its device goes, or holds still while a child is made."""
        self._shown.discard(number)
        self._deactivate(self._device_name(number))

    def discard(self, number: int) -> None:
        self._shown.discard(number)
        super().discard(number)

    def sweep(self) -> None:
        self._directories.sweep(self._delete)

    def _delete(self, directory: Path) -> None:
        device = records.read(directory)
        if device is not None:
            name = self._device_name(int(directory.name.partition(".")[0]))
            try:
                self._discard_blocks(name, device)
                self._mapper.remove(name)
                self._pool.delete(device.id)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                self._deactivate(name)
                if self._settings.deferred_deletion:
                    return  # it stays in the trash until its last user is gone
                raise
        shutil.rmtree(directory)
        if device is not None:
            with self._lock:
                self._ids.discard(device.id)

    def _discard_blocks(self, name: str, device: Device) -> None:
        """Loop files shrink only by what is discarded; whoever has the device mounted keeps it."""
        wanted = self._settings.discard
        if not (self._pool.ours and not self._settings.data_device if wanted is None else wanted):
            return
        found = self._mapper.status(name)
        if found is None:
            try:
                self._mapper.activate(name, self._pool.thin(device.id, device.size))
            except OSError:
                return  # the pool has no such device
        elif found.open_count:
            return
        with contextlib.suppress(OSError), self._mapper.node(name).open("r+b", buffering=0) as node:
            fcntl.ioctl(node.fileno(), _BLKDISCARD, struct.pack("=QQ", 0, device.size))

    def usage(self, number: int, parents: list[int]) -> tuple[int, int]:
        with self._measuring, self._seen(number) as path:
            if not parents:
                return disk_usage(path)
            with self._seen(parents[0]) as parent:
                return changed_usage(path, parent, _look)

    def labels(self, number: int) -> dict[str, str]:
        device = records.read(self._directories.path(number))
        if device is None:
            return {}
        name = self._device_name(number)
        return {wire.DEVICE_ID: str(device.id), wire.DEVICE_NAME: name, wire.DEVICE_SIZE: str(device.size)}

    def status(self) -> list[tuple[str, str]]:
        trash = sum(1 for _ in (self.root / TRASH).iterdir())
        try:
            return rows(self._mapper, self._pool, self._settings, self._record, trash)
        except (OSError, errdefs.FailedPrecondition) as error:
            return [("Pool Name", self._pool.name), ("Pool Error", str(error))]

    # Devices

    def _device(self, number: int) -> Device:
        device = records.read(self._directories.path(number))
        if device is None:
            raise errdefs.DataLoss(f"devmapper: the record of snapshot {number} is gone from {self.root}")
        return device

    def _device_name(self, number: int | str) -> str:
        return f"{records.prefix(self.root)}-{number}"

    def _mount(self, device: str, *words: str) -> Mount:
        kind = self._record.filesystem
        options = [*words, *filesystem.MOUNT[kind], *self._settings.mount]
        return Mount(type=kind, source=str(self._mapper.node(device)), options=options)

    def _deactivate(self, device: str) -> None:
        with contextlib.suppress(OSError):
            self._mapper.remove(device, deferred=self._settings.deferred_removal)

    @contextlib.contextmanager
    def _active(self, number: int | str, device: Device) -> Iterator[str]:
        """A device in use for as long as the block lasts."""
        name = self._device_name(number)
        with self._lock:
            before = self._mapper.status(name)
            if before is None:
                self._mapper.activate(name, self._pool.thin(device.id, device.size))
        try:
            yield name
        finally:
            with self._lock:
                if before is None and number not in self._shown:
                    self._deactivate(name)

    @contextlib.contextmanager
    def _seen(self, number: int) -> Iterator[Path]:
        """Where a snapshot is mounted to be looked at; one that is written to is mounted as it already is."""
        with self._active(number, self._device(number)) as name, contextlib.ExitStack() as stack:
            try:
                path = stack.enter_context(mounted([self._mount(name, "ro")], self._mounts))
            except errdefs.FailedPrecondition:
                path = stack.enter_context(mounted([self._mount(name)], self._mounts))
            yield path

    def _grow(self, number: int | str, device: Device) -> None:
        with self._active(number, device) as name, mounted([self._mount(name)], self._mounts) as root:
            filesystem.grow(self._record.filesystem, str(self._mapper.node(name)), root)


def _look(facts: os.stat_result) -> tuple[int, int]:
    """What is untouched since the snapshot has the number and the time of change that it had."""
    return facts.st_ino, facts.st_ctime_ns
