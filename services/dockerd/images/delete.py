"""`docker rmi` and `docker image prune`: names first, then what they alone held."""

from typing import Final

from protos import errdefs
from services.dockerd.filters import Filters
from services.dockerd.images import list as listing
from services.dockerd.images import reference, sizes
from services.dockerd.images.image import Image
from services.dockerd.images.store import DANGLING, Images

Report = list[dict[str, str]]
"""Docker's rows: `{"Untagged": name}` and `{"Deleted": digest}`."""


async def delete(images: Images, text: str, *, force: bool, prune: bool = True) -> Report:
    """Remove the name `text`, or by ID all names and the image; Conflict in Docker's words where it is held.

    With `prune`, nameless images that this one was committed on go with it.
    """
    image = images.find(text)
    names = images.names(image)
    if reference.is_prefix(text) and not _is_name(images, text):
        conflict = _held(images, image, force=force) or _widely_named(image, names, force)
        if conflict:
            raise errdefs.Conflict(f"conflict: unable to delete {image.short_id} {conflict}")
        return await _delete_all(images, image, prune=prune)
    name = _stored(images, image, reference.parse(text).tagged())
    gone = _going(name, names)
    if gone != names:
        return await _untag(images, image, gone)
    if not force and (use := next((use for use in images.uses() if use.image_id == image.id), None)):
        raise errdefs.Conflict(
            f'conflict: unable to remove repository reference "{text}" (must force) - '
            f"container {use.container_id[:12]} is using its referenced image {image.short_id}"
        )
    if _held(images, image, force=force):
        return await _untag(images, image, gone)  # the image stays, nameless, with who holds it
    return await _delete_all(images, image, prune=prune)


async def _untag(images: Images, image: Image, gone: list[reference.Reference]) -> Report:
    if gone == images.names(image):
        await images.name(DANGLING + image.id, image.target)
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


def _held(images: Images, image: Image, *, force: bool) -> str:
    """Why an image must stay, in the words behind `unable to delete …`; empty where nothing holds it."""
    if images.children(image):
        return "(cannot be forced) - image has dependent child images"
    uses = sorted((use for use in images.uses() if use.image_id == image.id), key=lambda use: not use.running)
    if uses and uses[0].running:
        return f"(cannot be forced) - image is being used by running container {uses[0].container_id[:12]}"
    if uses and not force:
        return f"(must be forced) - image is being used by stopped container {uses[0].container_id[:12]}"
    return ""


def _widely_named(image: Image, names: list[reference.Reference], force: bool) -> str:
    several = len({name.name for name in names}) > 1
    return "(must be forced) - image is referenced in multiple repositories" if several and not force else ""


async def _delete_all(images: Images, image: Image, *, prune: bool) -> Report:
    """All names, then the image with the layers that no other image stands on; then its nameless parents."""
    names = images.names(image)
    report: Report = [{"Untagged": name.familiar} for name in names]
    layers = doomed(images, image)
    stored = images.stored_names(image)
    for name in stored:
        await images.unname(name, collect=name == stored[-1])
    await images.refresh()
    for _ in [name for name in names if name.tag] or names:
        images.emit("untag", image.id, {"name": image.id, **image.labels})
    images.emit("delete", image.id, {"name": image.id, **image.labels})
    images.unpacked.discard(image.chain_id)
    report += [{"Deleted": image.id}, *({"Deleted": chain_id} for chain_id in layers)]
    parent = images.by_id.get(image.parent)
    if prune and parent and not images.names(parent) and not _held(images, parent, force=False):
        report += await _delete_all(images, parent, prune=True)
    return report


def doomed(images: Images, image: Image) -> list[str]:
    """Layers that go with an image, the topmost first: those that no other image and no container stands on."""
    if any(use.image_id == image.id for use in images.uses()):
        return []
    kept = {chain_id for other in images.by_id.values() if other.id != image.id for chain_id in other.chain_ids}
    return [chain_id for chain_id in reversed(image.chain_ids) if chain_id not in kept]


PRUNE_FILTERS: Final = frozenset({"dangling", "until", "label", "label!"})


async def prune(images: Images, filters: Filters) -> tuple[Report, int]:
    """Remove dangling images, or with `dangling=false` all that no container uses; the report and bytes won."""
    only_dangling = filters.flag("dangling", True)
    limits = listing.until(filters.get("until"))
    used = {use.image_id for use in images.uses()}
    report: Report = []
    won = 0
    for image in sorted(images.by_id.values(), key=listing.created_seconds, reverse=True):  # children before parents
        if image.id not in images.by_id or image.id in used or images.children(image):
            continue
        if only_dangling and images.names(image):
            continue
        if not listing.has_labels(image, filters):
            continue
        if any(listing.created_seconds(image) >= limit for limit in limits):
            continue
        won += sum([await sizes.of_layer(images, chain_id) for chain_id in doomed(images, image)])
        report += await _delete_all(images, image, prune=True)
    return report, won
