"""`docker tag`: another name for an image."""

from protos.errdefs import InvalidArgument
from services.dockerd.images import reference
from services.dockerd.images.store import Images


async def adopt(images: Images, source: str, text: str) -> None:
    """Let the image `source` be known by `text`, a name by the digest that a registry gave another engine for it.

    Whoever asks vouches for it, as for all they do here: the manifest of that digest is not at hand.
    """
    image, name = images.find(source), reference.parse(text)
    if not name.digest or name.tag:
        raise InvalidArgument(f"{text} is no name by a digest")
    await images.assign(name, image)


async def tag(images: Images, source: str, repository: str, tag_name: str) -> None:
    """Name the image `source` as `repository:tag_name`, `latest` where the tag is empty."""
    image = images.find(source)
    name = target(repository, tag_name)
    await images.assign(name, image)
    images.emit("tag", image.id, {"name": name.familiar, **image.labels})


def target(repository: str, tag_name: str) -> reference.Reference:
    """The name to give; InvalidArgument in Docker's words."""
    name = reference.parse(f"{repository}:{tag_name}" if tag_name else repository).tagged()
    if name.familiar_name == "sha256":
        raise InvalidArgument("refusing to create an ambiguous tag using digest algorithm as name")
    if name.digest:
        raise InvalidArgument("refusing to create a tag with a digest reference")
    return name
