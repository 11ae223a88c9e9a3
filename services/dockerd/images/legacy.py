"""Archives that Docker wrote before 1.10: `repositories`, and a directory `<id>/{json,layer.tar}` an image. Pure.

An image then was one layer and a pointer to its parent; it becomes a config of today with the ID that Docker gives it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from protos.errdefs import InvalidArgument
from services.dockerd.images import manifest
from services.dockerd.images.document import container_config
from services.dockerd.schema.container import ContainerConfig

_ID: Final = re.compile(r"[a-f0-9]{64}")
_GONE: Final = ("id", "parent", "Size", "parent_id", "layer_id", "throwaway")
_ORDER: Final = ("comment", "created", "container", "container_config", "docker_version", "author", "config",
                 "architecture", "variant", "os")
"""The fields that Docker knows of an image this old, as it writes them."""
_DEEPEST: Final = 1024
_OMITTED: Final = ("ExposedPorts", "Healthcheck", "ArgsEscaped", "NetworkDisabled", "MacAddress", "StopSignal",
                   "StopTimeout", "Shell")


def tags(repositories: bytes) -> Iterator[tuple[str, str]]:
    """Names with the IDs they stand for."""
    for name, tagged in manifest.load_json(repositories, "invalid archive: repositories").items():
        if not isinstance(tagged, dict):
            raise InvalidArgument(f"invalid archive: repositories: the tags of {name} are no object")
        for tag, image_id in tagged.items():
            if not isinstance(image_id, str) or not _ID.fullmatch(image_id):
                raise InvalidArgument(f"invalid image ID: {image_id}")
            yield f"{name}:{tag}", image_id


def chain(image_id: str, written: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The documents of an image and its parents, bottom first, from the json that is written by ID."""
    found: list[dict[str, Any]] = []
    while image_id:
        if not _ID.fullmatch(image_id) or len(found) == _DEEPEST:
            raise InvalidArgument(f"invalid image ID: {image_id}")
        if image_id not in written:
            raise InvalidArgument(f"invalid archive: {image_id}/json is missing")
        document = manifest.load_json(written[image_id], f"invalid archive: {image_id}/json")
        found.append(document | {"id": image_id})
        image_id = str(found[-1].get("parent") or "")
    return found[::-1]


def config(documents: list[dict[str, Any]], diff_ids: list[str]) -> bytes:
    """The config of the last of a chain's documents, byte for byte as Docker makes it."""
    last = documents[-1]
    if _version(last) < (1, 8, 3):
        last = {key: _known(key, last[key]) for key in _ORDER if last.get(key)}
        last.setdefault("created", "0001-01-01T00:00:00Z")
        last.setdefault("container_config", _known("container_config", {}))
    made = {key: value for key, value in last.items() if key not in _GONE}
    made |= {"rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": [_history(each) for each in documents]}
    text = json.dumps(dict(sorted(made.items())), separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode()


def _known(key: str, value: Any) -> Any:
    if key not in ("config", "container_config"):
        return value
    full = _read(value).model_dump()
    return {name: found for name, found in full.items() if found or name not in _OMITTED}


def _read(value: Any) -> ContainerConfig:
    return ContainerConfig.model_validate(container_config(value))


def _history(document: dict[str, Any]) -> dict[str, Any]:
    command = _read(document.get("container_config") or {}).Cmd or []
    step = {
        "created": document.get("created") or "0001-01-01T00:00:00Z", "author": document.get("author"),
        "created_by": " ".join(command), "comment": document.get("comment"),
    }
    return {key: value for key, value in step.items() if value}


def _version(document: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d{1,9}", str(document.get("docker_version") or ""))[:3])
