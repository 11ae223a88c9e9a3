"""`docker image inspect` and `docker history`."""

from typing import Any

from services.dockerd.container import stamp
from services.dockerd.images.image import Image
from services.dockerd.images.list import created_seconds
from services.dockerd.images.store import Images


async def inspect(images: Images, text: str) -> dict[str, Any]:
    """Docker's ImageInspect of the image `text` stands for."""
    image = images.find(text)
    size = await images.size(image)
    document = image.document
    tagged = max((tag.updated_at for tag in images.tags.values() if tag.image_id == image.id), default=0.0)
    return {
        "Id": image.id,
        "RepoTags": images.repo_tags(image),
        "RepoDigests": images.repo_digests(image),
        "Parent": "",
        "Comment": str(document.get("comment") or ""),
        "Created": image.created,
        "Container": str(document.get("container") or ""),
        "DockerVersion": str(document.get("docker_version") or ""),
        "Author": str(document.get("author") or ""),
        "Config": image.config.model_dump(exclude_none=False),
        "Architecture": image.architecture,
        **({"Variant": str(document["variant"])} if document.get("variant") else {}),
        "Os": image.os,
        **({"OsVersion": str(document["os.version"])} if document.get("os.version") else {}),
        "Size": size,
        "VirtualSize": size,
        "GraphDriver": {"Data": None, "Name": images.snapshotter},
        "RootFS": {"Type": "layers", **({"Layers": image.diff_ids} if image.diff_ids else {})},
        "Metadata": {"LastTagTime": stamp.rfc3339(int(tagged * 1e9))},
    }


async def history(images: Images, text: str) -> list[dict[str, Any]]:
    """One row a step of the image's making, newest first; sizes are those of the step's layer."""
    image = images.find(text)
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
                "Size": await images.layer_size(chain_id) if chain_id else 0,
                "Tags": None,
            }
        )
    rows.reverse()
    if rows:
        rows[0] |= {"Id": image.id, "Tags": images.repo_tags(image) or None}
    return rows


def _seconds(created: str, image: Image) -> int:
    if not created:
        return created_seconds(image)
    try:
        return stamp.parse(created) // 1_000_000_000
    except ValueError:
        return 0
