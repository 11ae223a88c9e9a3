"""`inspect`: everything that is known of a container, in Docker's spelling, per API version."""

import asyncio
import contextlib
from typing import Any, Final

from protos import errdefs
from services.dockerd import storage
from services.dockerd.container import links, stamp, state
from services.dockerd.container.container import Container
from services.dockerd.engine import layerdb, tasks, wiring
from services.dockerd.engine.engine import Engine
from services.dockerd.engine.records import Exec
from services.dockerd.images import sizes as image_sizes
from services.dockerd.oci import apparmor, security
from services.dockerd.oci.defaults import MASKED_PATHS, READONLY_PATHS

Version = tuple[int, int]

_OPTIONAL: Final = (
    "ArgsEscaped", "ExposedPorts", "Healthcheck", "MacAddress", "NetworkDisabled", "Shell", "StopSignal", "StopTimeout")
"""Keys of Config that are shown only when set."""
_PATIENCE: Final = 1.0
"""Seconds that a docker-containerd which is being restarted may hold up `inspect`."""


async def complete(engine: Engine, container: Container, version: Version) -> dict[str, Any]:
    """The reply of GET /containers/{id}/json, with what docker-containerd alone knows, which is asked once."""
    if container.graph is None:
        with contextlib.suppress(errdefs.EngineError, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                container.graph = await tasks.graph(engine, container)
    return inspect(engine, container, version)


def inspect(engine: Engine, container: Container, version: Version) -> dict[str, Any]:
    """The reply of GET /containers/{id}/json, without sizes."""
    return {
        "Id": container.id,
        "Created": stamp.rfc3339(container.created),
        "Path": container.path,
        "Args": container.args,
        "State": _state(container),
        "Image": container.image,
        "ResolvConfPath": _file(container, "resolv.conf"),
        "HostnamePath": _file(container, "hostname"),
        "HostsPath": _file(container, "hosts"),
        "LogPath": container.log_path,
        "Name": "/" + container.name,
        "RestartCount": container.restart_count,
        "Driver": storage.driver(container.driver),
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": _apparmor(container),
        "ExecIDs": sorted(each for each in container.execs if not engine.execs[each].probe) or None,
        "HostConfig": _host(container),
        "GraphDriver": _graph(container),
        "Mounts": [point.inspect() for point in container.mounts],
        "Config": _config(container, version),
        "NetworkSettings": _network(engine, container, version),
    }


def _state(container: Container) -> dict[str, Any]:
    document = state.to_json(container.state)
    return document | {"Health": container.health.to_json()} if container.health else document


def _file(container: Container, name: str) -> str:
    path = container.directory / name
    return str(path) if container.started_before or path.exists() else ""


def _apparmor(container: Container) -> str:
    try:
        chosen = security.parse(container.host.SecurityOpt)
    except errdefs.InvalidArgument:
        return ""
    return apparmor.choose(chosen.apparmor, privileged=container.host.Privileged)


def _host(container: Container) -> dict[str, Any]:
    document = container.host.model_dump(exclude={"Annotations", "Mounts", "Tmpfs", "Sysctls", "StorageOpt", "Init"})
    for key in ("Annotations", "Mounts", "Tmpfs", "Sysctls", "StorageOpt", "Init"):
        value = getattr(container.host, key)
        if value is not None and value not in ({}, []):
            document[key] = container.host.model_dump(include={key}, exclude_none=True)[key]
    if container.host.Links:
        document["Links"] = [links.show(text, container.name) for text in container.host.Links]
    privileged = container.host.Privileged
    if document["MaskedPaths"] is None and not privileged:
        document["MaskedPaths"] = list(MASKED_PATHS)
    if document["ReadonlyPaths"] is None and not privileged:
        document["ReadonlyPaths"] = list(READONLY_PATHS)
    return document


def _config(container: Container, version: Version) -> dict[str, Any]:
    document = container.config.model_dump()
    for key in _OPTIONAL:
        if not document[key] and document[key] != 0:
            del document[key]
    if document.get("Healthcheck"):
        document["Healthcheck"] = {key: value for key, value in document["Healthcheck"].items() if value}
    if version >= (1, 44):
        document.pop("MacAddress", None)
    document["Labels"] = document["Labels"] or {}
    document["Env"] = document["Env"] or []
    return document


def _graph(container: Container) -> dict[str, Any]:
    return {"Data": container.graph, "Name": storage.driver(container.driver)}


def _network(engine: Engine, container: Container, version: Version) -> dict[str, Any]:
    try:
        idle = wiring.request(engine, container)
    except errdefs.NotFound:
        idle = None
    return dict(engine.network.settings(container.id, idle))


async def sizes(engine: Engine, container: Container) -> tuple[int, int]:
    """SizeRw and SizeRootFs in bytes."""
    if not container.rootfs:
        container.rootfs = await tasks.mounts(engine, container)
    layer = layerdb.upper(container.rootfs)
    written = await (asyncio.to_thread(storage.weigh, layer) if layer else tasks.usage(engine, container))
    image = engine.images.by_id.get(container.image)
    return written, written + (await image_sizes.of_image(engine.images, image) if image else 0)


def inspect_exec(engine: Engine, subject: Exec) -> dict[str, Any]:
    """The reply of GET /exec/{id}/json."""
    return {
        "ID": subject.id,
        "Running": subject.running or subject.starting,
        "ExitCode": subject.exit_code,
        "ProcessConfig": {
            "tty": subject.tty,
            "entrypoint": subject.cmd[0],
            "arguments": subject.cmd[1:],
            "privileged": subject.privileged,
            **({"user": subject.user} if subject.user else {}),
        },
        "OpenStdin": subject.stdin,
        "OpenStderr": subject.stderr,
        "OpenStdout": subject.stdout,
        "CanRemove": subject.exit_code is not None,
        "ContainerID": subject.container_id,
        "DetachKeys": subject.detach_keys or "",
        "Pid": subject.pid,
    }

