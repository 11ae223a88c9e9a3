"""`docker rmi` and `docker image prune`: names first, then what they alone held."""

from typing import Final

from protos import errdefs
from services.dockerd.filters import Filters
from services.dockerd.images import list as listing
from services.dockerd.images import reference
from services.dockerd.images.image import Image
from services.dockerd.images.store import Images, Use

Report = list[dict[str, str]]
"""Docker's rows: `{"Untagged": name}` and `{"Deleted": digest}`."""


async def delete(images: Images, text: str, *, force: bool) -> Report:
    """Remove the name `text`, or by ID all names and the image; Conflict in Docker's words where it is held."""
    image = images.find(text)
    names = images.names(image)
    if reference.is_prefix(text) and not _is_name(images, text):
        return await _delete_by_id(images, image, force=force)
    name = _stored(images, image, reference.parse(text).tagged())
    gone = _going(name, names)
    if gone == names:
        _refuse_if_used(images, image, force=force, name=name)
        return await _delete_all(images, image)
    for each in gone:
        await images.unname(str(each), collect=False)
    await images.refresh()
    images.emit("untag", image.id, {"name": image.id, **image.labels})
    return [{"Untagged": each.familiar} for each in gone]


def _going(name: reference.Reference, names: list[reference.Reference]) -> list[reference.Reference]:
    """What goes with a name: behind the last tag of a repository its digests too."""
    others = [each for each in names if each.name == name.name and each.tag and each != name]
    alone = bool(name.tag) and not others
    return [each for each in names if each == name or (alone and each.name == name.name and not each.tag)]


def _is_name(images: Images, text: str) -> bool:
    try:
        return str(reference.parse(text).tagged()) in images.tags
    except errdefs.InvalidArgument:
        return False


def _stored(images: Images, image: Image, name: reference.Reference) -> reference.Reference:
    """The stored name that `name` stands for: itself, or the one of its repository when it is by digest."""
    if str(name) in images.tags:
        return name
    return next(each for each in images.names(image) if each.name == name.name)


async def _delete_by_id(images: Images, image: Image, *, force: bool) -> Report:
    names = images.names(image)
    if len({name.name for name in names}) > 1 and not force:
        raise errdefs.Conflict(
            f"conflict: unable to delete {image.short_id} (must be forced) - "
            "image is referenced in multiple repositories"
        )
    _refuse_if_used(images, image, force=force, name=None)
    return await _delete_all(images, image)


def _refuse_if_used(images: Images, image: Image, *, force: bool, name: reference.Reference | None) -> None:
    uses = [use for use in images.uses() if use.image_id == image.id]
    running = [use for use in uses if use.running]
    if running:
        if name and not force:
            raise errdefs.Conflict(_by_name(name, image, running[0]))
        raise errdefs.Conflict(
            f"conflict: unable to delete {_label(name, image)} (cannot be forced) - "
            f"image is being used by running container {running[0].container_id[:12]}"
        )
    if uses and not force:
        if name:
            raise errdefs.Conflict(_by_name(name, image, uses[0]))
        raise errdefs.Conflict(
            f"conflict: unable to delete {image.short_id} (must be forced) - "
            f"image is being used by stopped container {uses[0].container_id[:12]}"
        )


def _label(name: reference.Reference | None, image: Image) -> str:
    return name.familiar if name else image.short_id


def _by_name(name: reference.Reference, image: Image, use: Use) -> str:
    return (
        f'conflict: unable to remove repository reference "{name.familiar_name}" (must force) - '
        f"container {use.container_id[:12]} is using its referenced image {image.short_id}"
    )


async def _delete_all(images: Images, image: Image) -> Report:
    """All names, then the image with the layers that no other image stands on."""
    names = images.names(image)
    held = any(use.image_id == image.id for use in images.uses())
    kept = {chain_id for other in images.by_id.values() if other.id != image.id for chain_id in other.chain_ids}
    report: Report = [{"Untagged": name.familiar} for name in names]
    stored = images.stored_names(image)
    for name in stored:
        await images.unname(name, collect=name == stored[-1])
    await images.refresh()
    for _ in [name for name in names if name.tag] or names:
        images.emit("untag", image.id, {"name": image.id, **image.labels})
    images.emit("delete", image.id, {"name": image.id, **image.labels})
    images.unpacked.discard(image.chain_id)
    report.append({"Deleted": image.id})
    if not held:
        report += [{"Deleted": chain_id} for chain_id in reversed(image.chain_ids) if chain_id not in kept]
    return report


PRUNE_FILTERS: Final = frozenset({"dangling", "until", "label", "label!"})


async def prune(images: Images, filters: Filters) -> tuple[Report, int]:
    """Remove dangling images, or with `dangling=false` all that no container uses; the report and bytes won."""
    only_dangling = filters.flag("dangling", True)
    limits = listing.until(filters.get("until"))
    used = {use.image_id for use in images.uses()}
    report: Report = []
    won = 0
    for image in list(images.by_id.values()):
        if image.id in used or (only_dangling and images.names(image)):
            continue
        if not listing.has_labels(image, filters):
            continue
        if any(listing.created_seconds(image) >= limit for limit in limits):
            continue
        size = await images.size(image)
        report += await _delete_all(images, image)
        won += size
    return report, won
