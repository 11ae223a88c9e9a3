"""`docker image inspect` and `docker history`."""

from typing import Any, Final

from services.dockerd import graph, storage
from services.dockerd.container import stamp
from services.dockerd.images import sizes
from services.dockerd.images.image import Image
from services.dockerd.images.list import created_seconds
from services.dockerd.images.platform import Platform
from services.dockerd.images.read import check_platform
from services.dockerd.images.store import Images


async def inspect(images: Images, text: str, wanted: Platform | None = None) -> dict[str, Any]:
    """Docker's ImageInspect of the image `text` stands for; NotFound where it is for another platform than wanted."""
    image = images.find(text)
    check_platform(image, text, wanted)
    size = await sizes.of_image(images, image)
    document = image.document
    tagged = max((tag.updated_at for tag in images.tags.values() if tag.image_id == image.id), default=0.0)
    return {
        "Id": image.id,
        "RepoTags": images.repo_tags(image),
        "RepoDigests": images.repo_digests(image),
        "Parent": image.parent,
        "Comment": str(document.get("comment") or ""),
        "Created": image.created,
        "Container": str(document.get("container") or ""),
        "DockerVersion": str(document.get("docker_version") or ""),
        "Author": str(document.get("author") or ""),
        "Config": _config(image),
        "Architecture": image.architecture,
        **({"Variant": str(document["variant"])} if document.get("variant") else {}),
        "Os": image.os,
        **({"OsVersion": str(document["os.version"])} if document.get("os.version") else {}),
        "Size": size,
        "VirtualSize": size,
        "GraphDriver": {"Data": await _graph(images, image), "Name": storage.driver(images.snapshotter)},
        "RootFS": {"Type": "layers", **({"Layers": image.diff_ids} if image.diff_ids else {})},
        "Metadata": {"LastTagTime": stamp.rfc3339(int(tagged * 1e9))},
    }


_OPTIONAL: Final = ("ExposedPorts", "Healthcheck", "ArgsEscaped", "NetworkDisabled", "MacAddress", "StopSignal",
                    "StopTimeout", "Shell")


def _config(image: Image) -> dict[str, Any]:
    """Docker leaves some fields out where they say nothing."""
    document = image.config.model_dump()
    if health := document["Healthcheck"]:
        document["Healthcheck"] = {key: value for key, value in health.items() if value}
    return {key: value for key, value in document.items() if value or key not in _OPTIONAL}


async def _graph(images: Images, image: Image) -> dict[str, str] | None:
    """Where the image's layers are, as far as they are unpacked."""
    labels = [await sizes.layer_labels(images, chain_id) for chain_id in image.chain_ids]
    return graph.of_layers(labels)


async def history(images: Images, text: str, wanted: Platform | None = None) -> list[dict[str, Any]]:
    """One row a step of the image's making, newest first; sizes are those of the step's layer."""
    image = images.find(text)
    check_platform(image, text, wanted)
    chain = iter(image.chain_ids)
    rows: list[dict[str, Any]] = []
    steps = image.history or [{} for _ in image.chain_ids]
    for step in steps:
        chain_id = "" if step.get("empty_layer") else next(chain, "")
        rows.append(
            {
                "Comment": str(step.get("comment") or ""),
                "Created": _seconds(str(step.get("created") or ""), image),
                "CreatedBy": str(step.get("created_by") or ""),
                "Id": "<missing>",
                "Size": await sizes.of_layer(images, chain_id) if chain_id else 0,
                "Tags": None,
            }
        )
    rows.reverse()
    named: Image | None = image
    while named is not None and (at := len(steps) - (len(named.history) or len(named.chain_ids))) < len(rows):
        rows[at] |= {"Id": named.id, "Tags": images.repo_tags(named) or None}
        named = images.by_id.get(named.parent)
    return rows


def _seconds(created: str, image: Image) -> int:
    if not created:
        return created_seconds(image)
    try:
        return stamp.parse(created) // 1_000_000_000
    except ValueError:
        return 0
