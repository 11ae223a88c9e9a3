"""An image config as a document that came from outside: every part we read has its type, or it is refused. Pure.

null says nothing, as Go's decoder has it; in a list or a map it is the empty value. Source: OCI image-spec 1.1, config.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError

from protos.errdefs import InvalidArgument
from services.dockerd.images.manifest import load_json
from services.dockerd.images.reference import is_digest
from services.dockerd.schema.container import ContainerConfig

_TEXTS: Final = ("author", "architecture", "os", "os.version", "variant", "docker_version", "container", "comment")
_STEP_TEXTS: Final = ("author", "comment", "created_by")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_EMPTY: Final[dict[str, Any]] = {"ExposedPorts": {}, "Volumes": {}, "Labels": ""}
"""What null stands for in a map."""
_INTEGERS: Final = range(-(2**63), 2**63)


def parse_config(data: bytes) -> dict[str, Any]:
    """An image config with every part that we read checked; parts that are missing stay missing."""
    document = load_json(data, "image config")
    for key in [key for key, value in document.items() if value is None]:
        del document[key]
    document["rootfs"] = _rootfs(document.get("rootfs", {}))
    _texts(document, _TEXTS, "image config")
    _time(document, "image config")
    history = document.get("history", [])
    if not isinstance(history, list):
        raise InvalidArgument("image config: history is not a list of objects")
    document["history"] = [_step(step, f"image config: history[{number}]") for number, step in enumerate(history)]
    document["config"] = container_config(document.get("config", {}))
    return document


def _rootfs(rootfs: Any) -> dict[str, Any]:
    diff_ids = (rootfs.get("diff_ids") or []) if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or not all(isinstance(each, str) and is_digest(each) for each in diff_ids):
        raise InvalidArgument("image config: rootfs.diff_ids is not a list of digests")
    return {**rootfs, "diff_ids": diff_ids}


def _step(step: Any, what: str) -> dict[str, Any]:
    if step is None:
        return {}
    if not isinstance(step, dict):
        raise InvalidArgument(f"{what} is not an object")
    _texts(step, _STEP_TEXTS, what)
    _time(step, what)
    if not isinstance(step.get("empty_layer"), bool | None):
        raise InvalidArgument(f"{what}: empty_layer is not a boolean")
    return step


def _texts(document: dict[str, Any], keys: tuple[str, ...], what: str) -> None:
    for key in keys:
        if not isinstance(document.get(key), str | None):
            raise InvalidArgument(f"{what}: {key} is not a string")


def _time(document: dict[str, Any], what: str) -> None:
    created = document.get("created")
    if created is not None and not (isinstance(created, str) and _TIME.fullmatch(created)):
        raise InvalidArgument(f"{what}: created is not a time: {str(created)[:80]!r}")


def container_config(config: Any) -> dict[str, Any]:
    """The part of a container's: what it says, null filled in."""
    if not isinstance(config, dict):
        raise InvalidArgument("image config: config is not an object")
    filled = {key: _filled(value, _EMPTY.get(key)) for key, value in config.items() if value is not None}
    try:
        read = ContainerConfig.model_validate(filled)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidArgument(f"image config: config.{where}: {first['msg']}") from error
    if not all(number in _INTEGERS for number in _numbers(read.model_dump())):
        raise InvalidArgument("image config: config has a number that is out of bounds")
    return filled


def _filled(value: Any, empty: Any) -> Any:
    """A list or a map with what null stands for."""
    if isinstance(value, list):
        return ["" if each is None else each for each in value]
    if isinstance(value, dict) and empty is not None:
        return {key: empty if each is None else each for key, each in value.items()}
    return value


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _numbers(each)
