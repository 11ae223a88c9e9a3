"""What stands beside each log line, as the log options `labels`, `env` and `tag` select it (pure)."""

import re
from collections.abc import Mapping

from protos import errdefs
from services.dockerd.container.container import Container


def select(container: Container) -> dict[str, str]:
    """Attributes for the container's log."""
    options = container.host.LogConfig.Config or {}
    environment = dict(each.partition("=")[::2] for each in container.config.Env or [])
    chosen = {**_named(options, "labels", container.labels), **_named(options, "env", environment)}
    if tag := options.get("tag"):
        chosen["tag"] = expand(tag, container)
    return chosen


def _named(options: Mapping[str, str], option: str, values: Mapping[str, str]) -> dict[str, str]:
    wanted = {name.strip() for name in options.get(option, "").split(",") if name.strip()}
    pattern = options.get(f"{option}-regex")
    return {
        name: value for name, value in values.items()
        if name in wanted or (pattern and re.search(pattern, name))
    }


def expand(template: str, container: Container) -> str:
    """A tag template; InvalidArgument for a field that does not exist."""
    fields = {
        "ID": container.short,
        "FullID": container.id,
        "Name": container.name,
        "FullName": "/" + container.name,
        "ImageID": container.image.removeprefix("sha256:")[:12],
        "ImageFullID": container.image,
        "ImageName": container.config.Image,
        "DaemonName": "docker",
    }

    def replace(match: re.Match[str]) -> str:
        if match[1] not in fields:
            raise errdefs.InvalidArgument(f"invalid log tag: no field {match[1]} in {template!r}")
        return fields[match[1]]

    return re.sub(r"\{\{\s*\.(\w+)\s*\}\}", replace, template)
