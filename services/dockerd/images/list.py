"""`docker images`: the rows, and Docker's filters on them."""

import time
from typing import Any, Final

from protos.errdefs import InvalidArgument, NotFound
from services.dockerd.container import stamp
from services.dockerd.filters import Filters, invalid
from services.dockerd.images import reference, sizes
from services.dockerd.images.image import Image
from services.dockerd.images.store import Images

FILTERS: Final = frozenset({"dangling", "label", "label!", "before", "since", "reference", "until"})


async def list_images(images: Images, filters: Filters, *, everything: bool = False) -> list[dict[str, Any]]:
    """Summaries, newest first; nameless ones that others were committed on only with `everything`."""
    chosen = [
        image for image in images.by_id.values()
        if _passes(images, image, filters) and (everything or images.names(image) or not images.children(image))
    ]
    chosen.sort(key=created_seconds, reverse=True)
    return [await _summary(images, image, filters.get("reference")) for image in chosen]


async def _summary(images: Images, image: Image, patterns: list[str]) -> dict[str, Any]:
    size = await sizes.of_image(images, image)
    names = [name for name in images.names(image) if _matches(name, patterns)]
    return {
        "Containers": -1,
        "Created": created_seconds(image),
        "Id": image.id,
        "Labels": image.config.Labels,
        "ParentId": image.parent,
        "RepoDigests": sorted({f"{name.familiar_name}@{name.digest}" for name in names if name.digest}),
        "RepoTags": [name.familiar for name in names if name.tag],
        "SharedSize": -1,
        "Size": size,
        "VirtualSize": size,
    }


def created_seconds(image: Image) -> int:
    """Unix seconds; 0 where the config does not say, or says nonsense."""
    try:
        return stamp.parse(image.created) // 1_000_000_000
    except ValueError:
        return 0


def _matches(name: reference.Reference, patterns: list[str]) -> bool:
    return not patterns or any(reference.matches(name, pattern) for pattern in patterns)


def _passes(images: Images, image: Image, filters: Filters) -> bool:
    names = images.names(image)
    if "dangling" in filters and filters.flag("dangling", False) == bool(names or images.children(image)):
        return False
    if "reference" in filters and not any(_matches(name, filters.get("reference")) for name in names):
        return False
    if not has_labels(image, filters):
        return False
    created = created_seconds(image)
    for other in filters.get("before"):
        if created >= created_seconds(_other(images, other)):
            return False
    for other in filters.get("since"):
        if created <= created_seconds(_other(images, other)):
            return False
    return all(created < limit for limit in until(filters.get("until")))


def _other(images: Images, text: str) -> Image:
    try:
        return images.find(text)
    except NotFound as error:
        raise InvalidArgument(str(error)) from error


def has_labels(image: Image, filters: Filters) -> bool:
    """`label` and `label!`: `key` or `key=value`, all of them and none of them."""
    unwanted = (Filters({"label": [each]}) for each in filters.get("label!"))
    return filters.labels("label", image.labels) and not any(each.labels("label", image.labels) for each in unwanted)


def until(values: list[str]) -> list[int]:
    """`until` filters as Unix seconds: a time, or a duration back from now."""
    try:
        return [stamp.moment(text, time.time_ns()) // 1_000_000_000 for text in values]
    except ValueError as error:
        raise invalid("until", "[" + " ".join(values) + "]") from error
