"""What stands beside each log line, as the log options `labels`, `env` and `tag` select it, in each driver's spelling.

Pure.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from protos import errdefs
from services.dockerd.container import stamp
from services.dockerd.container.container import Container
from services.dockerd.logger import template
from services.dockerd.logger.options import INITIALIZE

Fields = dict[str, str]
_TAG: Final = "{{.ID}}"


def select(container: Container) -> Fields:
    """The fields that the container's driver puts beside each line."""
    driver = container.host.LogConfig.Type
    return _SELECT[driver](container, chosen(container)) if driver in _SELECT else {}


def tag(container: Container) -> str:
    """The option `tag`, expanded; InvalidArgument in Docker's words for one that means nothing."""
    wanted = (container.host.LogConfig.Config or {}).get("tag") or _TAG
    try:
        return template.expand("log-tag", wanted, _info(container))
    except errdefs.InvalidArgument as error:
        raise errdefs.InvalidArgument(f"{INITIALIZE}: {error}") from error


def apart(container: Container) -> str:
    """The tag, for drivers that have a place for it apart from the fields; Splunk's may be left out."""
    driver, options = container.host.LogConfig.Type, container.host.LogConfig.Config or {}
    if driver not in ("syslog", "fluentd", "splunk") or (driver == "splunk" and options.get("tag") == ""):
        return ""
    return tag(container)


def chosen(container: Container) -> Fields:
    """Labels and variables that the options name, or whose names match."""
    options = container.host.LogConfig.Config or {}
    environment = dict(each.partition("=")[::2] for each in container.config.Env or [])
    return {**_named(options, "labels", container.labels), **_named(options, "env", environment)}


def _named(options: Mapping[str, str], option: str, values: Mapping[str, str]) -> Fields:
    wanted = {name.strip() for name in options.get(option, "").split(",") if name.strip()}
    pattern = options.get(f"{option}-regex", "")
    try:
        matching = re.compile(pattern) if pattern else None
        return {
            name: value for name, value in values.items()
            if name in wanted or (matching and matching.search(name))
        }
    except re.error as error:
        raise errdefs.InvalidArgument(f"{INITIALIZE}: error parsing regexp: {error}: `{pattern}`") from error


def _info(container: Container) -> dict[str, Any]:
    """Docker's names for what a tag may say."""
    config = container.config
    return {
        "ID": container.id[:12], "FullID": container.id, "ContainerID": container.id,
        "Name": container.name, "FullName": "/" + container.name, "ContainerName": "/" + container.name,
        "ImageID": container.image.removeprefix("sha256:")[:12], "ImageFullID": container.image,
        "ContainerImageID": container.image, "ImageName": config.Image, "ContainerImageName": config.Image,
        "Command": command(container), "ContainerEntrypoint": container.path, "ContainerArgs": list(container.args),
        "ContainerCreated": stamp.rfc3339(container.created), "ContainerEnv": list(config.Env or []),
        "ContainerLabels": dict(container.labels), "Config": dict(container.host.LogConfig.Config or {}),
        "LogPath": container.log_path, "DaemonName": "docker", "Hostname": os.uname().nodename,
    }


def command(container: Container) -> str:
    return " ".join((container.path, *container.args))


def _file(container: Container, fields: Fields) -> Fields:
    return {**fields, "tag": tag(container)} if (container.host.LogConfig.Config or {}).get("tag") else fields


def _journald(container: Container, fields: Fields) -> Fields:
    own = tag(container)
    return {
        "CONTAINER_ID": container.id[:12], "CONTAINER_ID_FULL": container.id, "CONTAINER_NAME": container.name,
        "CONTAINER_TAG": own, "IMAGE_NAME": container.config.Image, "SYSLOG_IDENTIFIER": own,
    } | {name: value for key, value in fields.items() if (name := journal_name(key))}


def journal_name(name: str) -> str:
    """Capitals, digits and underscores, of which none at the beginning: others are journald's own."""
    return re.sub(r"[^A-Z0-9]", "_", re.sub(r"[a-z]", lambda found: found[0].upper(), name)).lstrip("_")


def _gelf(container: Container, fields: Fields) -> Fields:
    return {
        "_container_id": container.id, "_container_name": container.name, "_image_id": container.image,
        "_image_name": container.config.Image, "_command": command(container), "_tag": tag(container),
        "_created": stamp.rfc3339(container.created),
    } | {name if name.startswith("_") else "_" + name: value for name, value in fields.items()}


def _fluentd(container: Container, fields: Fields) -> Fields:
    return {"container_id": container.id, "container_name": "/" + container.name} | fields


_SELECT: Final[dict[str, Callable[[Container, Fields], Fields]]] = {
    "json-file": _file, "local": _file, "journald": _journald, "gelf": _gelf, "fluentd": _fluentd,
    "splunk": lambda container, fields: fields,
}
