"""Containers on disk: `containers/<id>/config.v2.json` and `hostconfig.json`, in Docker's spelling, crash safe.

A file is replaced by a whole new one or not at all. A directory whose config.v2.json cannot be read is left as it is,
named in the log, and its container is not loaded; one whose hostconfig.json is broken is listed, but does not start.
A directory is filled, and emptied, under a name that the next start clears away: a crash leaves no half.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import ValidationError

from protos import errdefs, trees
from services.dockerd.config import Runtime
from services.dockerd.container import stamp, state
from services.dockerd.container.container import Container, Health
from services.dockerd.schema.container import ContainerConfig, EndpointSettings, HostConfig
from services.dockerd.volumes.mountpoint import MountPoint

log = logging.getLogger("store")

_ASIDE: Final = ".removed-"


@dataclass(frozen=True, slots=True)
class Store:
    root: Path
    """`<data root>/containers`."""

    def directory(self, container_id: str) -> Path:
        return self.root / container_id

    def create(self, container: Container) -> None:
        """Write both files of a new container and wait until they are on the disk."""
        draft = self._aside(container.id)
        draft.mkdir(mode=0o710, parents=True)
        _replace(draft / "hostconfig.json", _host(container), durable=True)
        _replace(draft / "config.v2.json", _config(container), durable=True)
        draft.rename(container.directory)
        _sync(self.root)

    def save(self, container: Container) -> None:
        """Write state and configuration. Not synced: after a power cut the tasks and the boot id tell the truth."""
        if container.directory.exists():
            _replace(container.directory / "config.v2.json", _config(container))

    def save_host(self, container: Container) -> None:
        readable(container)
        _replace(container.directory / "hostconfig.json", _host(container), durable=True)

    def discard(self, container: Container) -> Path:
        """Take the container off the books at once; `purge` deletes what is left."""
        trash = self._aside(container.id)
        with contextlib.suppress(FileNotFoundError):
            container.directory.rename(trash)
        return trash

    def purge(self, container_id: str) -> None:
        """Delete what `discard` left, or a `create` that failed."""
        with contextlib.suppress(OSError):
            trees.remove(self._aside(container_id))

    def discarded(self) -> list[str]:
        """Ids whose removal was begun, or whose creation was not finished."""
        return [path.name.removeprefix(_ASIDE) for path in self.root.glob(_ASIDE + "*")]

    def _aside(self, container_id: str) -> Path:
        return self.root / (_ASIDE + container_id)

    def load(self) -> Iterator[Container]:
        """All readable containers."""
        self.root.mkdir(mode=0o710, parents=True, exist_ok=True)
        for path in sorted(self.root.iterdir()):
            if path.name.startswith(".") or not path.is_dir():
                continue
            try:
                yield _load(path)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
                log.error(
                    "container not loaded: its state file is unreadable; mend or remove the directory and restart "
                    "container=%s path=%s error=%s", path.name, path, " ".join(str(error).split())[:300])

    def kept(self) -> set[str]:
        """Ids of all directories, readable or not."""
        return {path.name for path in self.root.iterdir() if not path.name.startswith(".")}


def readable(container: Container) -> None:
    """Conflict where its hostconfig.json is broken: defaults are no stand-in for limits and confinement."""
    if container.unreadable:
        raise errdefs.Conflict(
            f"hostconfig.json of container {container.id} cannot be read ({container.unreadable}): "
            f"mend it in {container.directory} and restart the daemon, or remove the container")


def _config(container: Container) -> bytes:
    document = {
        "State": state.to_json(container.state) | (
            {"Health": container.health.to_json()} if container.health else {}),
        "ID": container.id,
        "Created": stamp.rfc3339(container.created),
        "Managed": False,
        "Path": container.path,
        "Args": container.args,
        "Config": container.config.model_dump(exclude_none=True),
        "Image": container.image,
        "NetworkSettings": {"Networks": {
            name: endpoint.model_dump() for name, endpoint in container.endpoints.items()}},
        "LogPath": container.log_path,
        "Name": "/" + container.name,
        "Driver": container.driver,
        "OS": "linux",
        "RestartCount": container.restart_count,
        "HasBeenStartedBefore": container.started_before,
        "HasBeenManuallyStopped": container.manually_stopped,
        "MountPoints": {point.destination: point.to_json() for point in container.mounts},
        "BootID": container.boot_id,
        "RuntimeConfig": container.runtime and container.runtime.to_json(),
    }
    return orjson.dumps(document)


def _host(container: Container) -> bytes:
    return orjson.dumps(container.host.model_dump())


def _load(path: Path) -> Container:
    document: dict[str, Any] = orjson.loads((path / "config.v2.json").read_bytes())
    host, unreadable = _load_host(path)
    if document["ID"] != path.name:
        raise ValueError(f"the file is of container {document['ID']}")
    networks = document.get("NetworkSettings", {}).get("Networks") or {}
    return Container(
        id=document["ID"],
        name=document["Name"].removeprefix("/"),
        created=stamp.parse(document["Created"]),
        path=document["Path"],
        args=list(document["Args"] or []),
        config=ContainerConfig.model_validate(document["Config"]),
        host=host,
        image=document["Image"],
        driver=document["Driver"],
        directory=path,
        endpoints={name: EndpointSettings.model_validate(each) for name, each in networks.items()},
        mounts=[MountPoint.from_json(point) for point in (document.get("MountPoints") or {}).values()],
        state=state.from_json(document["State"]),
        restart_count=int(document.get("RestartCount", 0)),
        started_before=bool(document.get("HasBeenStartedBefore")),
        manually_stopped=bool(document.get("HasBeenManuallyStopped")),
        boot_id=str(document.get("BootID", "")),
        runtime=Runtime.from_json(document["RuntimeConfig"]) if document.get("RuntimeConfig") else None,
        health=_health(document["State"].get("Health")),
        unreadable=unreadable,
    )


def _load_host(path: Path) -> tuple[HostConfig, str]:
    """The file's content, unknown keys left out, and "": or defaults, and what is wrong."""
    try:
        return HostConfig.model_validate_json((path / "hostconfig.json").read_bytes()), ""
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        reason = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
    except OSError as error:
        reason = error.strerror or str(error)
    log.error("container cannot be started: its hostconfig.json is unreadable; mend it and restart "
              "container=%s path=%s error=%s", path.name, path, reason)
    return HostConfig(), reason


def _health(document: dict[str, Any] | None) -> Health | None:
    if document is None:
        return None
    return Health(document["Status"], int(document["FailingStreak"]), list(document["Log"] or []))


def _replace(path: Path, data: bytes, *, durable: bool = False) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view):]
        if durable:
            os.fsync(file)
    finally:
        os.close(file)
    temporary.replace(path)


def _sync(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
