"""What `docker info` shows of a thin pool, in Docker's rows and order."""

from services.containerd.snapshots.devicemapper import loop
from services.containerd.snapshots.devicemapper.mapper import Mapper
from services.containerd.snapshots.devicemapper.pool import METADATA_BLOCK, Pool
from services.containerd.snapshots.devicemapper.records import PoolRecord
from services.containerd.snapshots.devicemapper.settings import Settings


def rows(
    mapper: Mapper, pool: Pool, settings: Settings, record: PoolRecord, deleted: int
) -> list[tuple[str, str]]:
    """`deleted` devices wait for their last user."""
    status, (metadata, data, block) = pool.status(), pool.devices()
    space = {
        "Data": (status.data_used * block, status.data_total * block),
        "Metadata": (status.metadata_used * METADATA_BLOCK, status.metadata_total * METADATA_BLOCK),
    }
    found = [
        ("Pool Name", pool.name), ("Pool Blocksize", human(block)), ("Base Device Size", human(record.base.size)),
        ("Backing Filesystem", record.filesystem), ("Udev Sync Supported", "false"),
    ]
    if pool.ours:
        found += [("Data file", loop.name(data)), ("Metadata file", loop.name(metadata))]
        files = (("Data loop file", loop.backing(data)), ("Metadata loop file", loop.backing(metadata)))
        found += [(key, file) for key, file in files if file]
    for kind, (used, total) in space.items():
        found += [
            (f"{kind} Space Used", human(used)), (f"{kind} Space Total", human(total)),
            (f"{kind} Space Available", human(total - used)),
        ]
    least = status.data_total * settings.min_free // 100 * block
    return [
        *found, ("Thin Pool Minimum Free Space", human(least)),
        ("Deferred Removal Enabled", _word(settings.deferred_removal)),
        ("Deferred Deletion Enabled", _word(settings.deferred_deletion)),
        ("Deferred Deleted Device Count", str(deleted)),
        ("Library Version", f"none (kernel driver {'.'.join(map(str, mapper.version()))})"),
    ]


def _word(value: bool) -> str:
    return "true" if value else "false"


def human(size: float) -> str:
    """As Docker's HumanSize: four digits, powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.4g}{unit}"
        size /= 1000
    return f"{size:.4g}PB"
