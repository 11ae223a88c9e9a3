"""`docker tag`: another name for an image."""

from protos.errdefs import InvalidArgument
from services.dockerd.images import reference
from services.dockerd.images.store import Images


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
