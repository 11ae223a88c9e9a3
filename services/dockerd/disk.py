"""Who takes up the disk: images and the layers they share, containers' own layers, volumes. For `docker system df`."""

import asyncio
import functools
from collections import Counter
from typing import Any

import orjson

from services.dockerd import alone
from services.dockerd.engine import inspect
from services.dockerd.engine import list as listing
from services.dockerd.engine.engine import Engine
from services.dockerd.filters import Filters
from services.dockerd.images.image import Image
from services.dockerd.images.list import list_images
from services.dockerd.volumes.store import usage


async def images(engine: Engine) -> tuple[list[dict[str, Any]], int]:
    """Summaries with SharedSize and Containers, and the bytes of all layers together."""
    rows = await list_images(engine.images, Filters(), everything=True)
    used = Counter(container.image for container in engine.containers)
    known = engine.images.by_id
    sharing = Counter(chain for image in known.values() for chain in set(image.chain_ids))
    for row in rows:
        row["Containers"] = used[row["Id"]]
        row["SharedSize"] = _size(engine, known[row["Id"]], sharing)
    return rows, sum(engine.images.sizes.get(chain, 0) for chain in sharing)


def _size(engine: Engine, image: Image, sharing: Counter[str]) -> int:
    """Bytes of the layers that another image has too."""
    return sum(engine.images.sizes.get(chain, 0) for chain in image.chain_ids if sharing[chain] > 1)


async def containers(engine: Engine) -> orjson.Fragment:
    """The list of all containers with their sizes, encoded."""
    chosen = listing.select(engine, Filters(), everything=True)
    sizes = await asyncio.gather(*(inspect.sizes(engine, each) for each in chosen))
    return orjson.Fragment(listing.encoded(engine, chosen, dict(zip((each.id for each in chosen), sizes, strict=True))))


async def volumes(engine: Engine) -> list[dict[str, Any]]:
    """Volumes of the local driver with UsageData: what a plugin holds is not on our disk."""
    rows = []
    for volume in engine.volumes:
        if volume.local:
            size = await alone.run(functools.partial(usage, volume), "usage")
            rows.append(volume.to_api() | {"UsageData": {"Size": size, "RefCount": len(volume.users)}})
    return rows
