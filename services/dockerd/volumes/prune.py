"""`docker volume prune`: local volumes that no container lists, anonymous ones only unless `all` is asked for."""

import functools
from typing import Final

from protos import errdefs
from services.dockerd import alone
from services.dockerd.filters import Filters
from services.dockerd.volumes.store import Volumes, usage
from services.dockerd.volumes.volume import Volume

FILTERS: Final = frozenset({"label", "label!", "all"})


async def prune(volumes: Volumes, wanted: Filters, *, anonymous_only: bool) -> tuple[list[str], int]:
    """Names of the removed volumes and the bytes they took. Before API 1.42 (`anonymous_only` False) all go."""
    everything = wanted.flag("all", not anonymous_only)
    removed: list[str] = []
    freed = 0
    for volume in [each for each in volumes if each.local and _chosen(each, wanted, everything)]:
        size = await alone.run(functools.partial(usage, volume), "usage")
        try:
            await volumes.remove(volume.name)
        except (errdefs.NotFound, errdefs.Conflict):
            continue  # somebody was quicker
        removed.append(volume.name)
        freed += size
    volumes.emit("prune", "", {"reclaimed": str(freed)})
    return removed, freed


def _chosen(volume: Volume, wanted: Filters, everything: bool) -> bool:
    labels = volume.labels or {}
    if volume.users or not (everything or volume.anonymous):
        return False
    unwanted = wanted.get("label!")
    return wanted.labels("label", labels) and not (
        unwanted and any(Filters({"label": [each]}).labels("label", labels) for each in unwanted)
    )
