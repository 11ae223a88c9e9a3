"""Whether a thin pool and the records of its devices agree, for `docker-containerd check`. Changes nothing."""

import contextlib
import errno
from collections.abc import Iterator, Mapping
from pathlib import Path

from protos import errdefs
from services.containerd.snapshots.devicemapper import ioctl, loop, records
from services.containerd.snapshots.devicemapper.mapper import Kernel, Mapper
from services.containerd.snapshots.devicemapper.records import Device, PoolRecord
from services.containerd.snapshots.devicemapper.thin import Contents, Metadata
from services.containerd.snapshots.directories import TRASH


def audit(root: Path, rows: Mapping[int, str], kernel: Mapper | None = None) -> tuple[int, list[str]]:
    """Bytes of the pool that are given out, and problems; `rows` are the keys of the snapshots below `root`."""
    pool = records.read_pool(root)
    if pool is None:
        return 0, [f"snapshots are below {root}, but it has no record of their thin pool"] if rows else []
    try:
        metadata = _metadata(root, pool, kernel or Kernel())
    except (errdefs.EngineError, OSError) as error:
        return 0, [str(error)]
    try:
        found = metadata.contents()
    except errdefs.DataLoss as error:
        return 0, [str(error)]
    finally:
        metadata.close()
    return found.used, list(_compare(root, pool, found, rows))


def _metadata(root: Path, pool: PoolRecord, kernel: Mapper) -> Metadata:
    """Of the active pool, else of the one that would be made active."""
    name, found = pool.given or f"{records.prefix(root)}-pool", None
    with contextlib.suppress(FileNotFoundError):  # the kernel has no device-mapper
        found = kernel.status(name)
    if found and found.flags & ioctl.ACTIVE_PRESENT:
        return Metadata(Path(loop.name(kernel.table(name).text.split()[0])))
    if pool.given:
        raise errdefs.NotFound(f"thin pool {pool.given} does not exist")
    place = Path(pool.metadata) if pool.metadata else root / "metadata"
    if not place.exists():
        raise OSError(errno.ENOENT, "the thin pool's metadata is missing", str(place))
    return Metadata(place)


def _compare(root: Path, pool: PoolRecord, found: Contents, rows: Mapping[int, str]) -> Iterator[str]:
    owned = {pool.base.id, *(each.id for each in records.all_below(root, root / TRASH))}
    for number in sorted(found.devices.keys() - owned):
        yield f"thin pool: device {number} belongs to no snapshot"
    if pool.uuid:
        yield from (f"thin pool: base {line}" for line in _device(pool.base, found))
    seen: dict[int, int] = {}
    for number, key in rows.items():
        snapshot = f"snapshot devmapper/{number} ({key})"
        record = records.read(root / str(number))
        if record is None:
            if (root / str(number)).exists():
                yield f"{snapshot}: the record of its device is missing"
            continue
        yield from (f"{snapshot}: {line}" for line in _device(record, found))
        if record.id in seen:
            yield f"{snapshot}: device {record.id} is also that of snapshot {seen[record.id]}"
        seen[record.id] = number


def _device(record: Device, found: Contents) -> Iterator[str]:
    if record.transaction > found.transaction:
        yield f"device {record.id} is of transaction {record.transaction}, the pool is at {found.transaction}"
        return
    thin = found.devices.get(record.id)
    if thin is None:
        yield f"device {record.id} is not in the pool"
        return
    if record.transaction and thin.transaction != record.transaction - 1:
        yield f"device {record.id} is another one: made at {thin.transaction}, not {record.transaction - 1}"
    if thin.mapped >= record.size + found.block:
        yield f"device {record.id} has {thin.mapped} bytes in a size of {record.size}"
