"""Named volumes: their directories and metadata under the data root, who uses them, mounted once for all users.

A volume is `<name>/_data`; `opts.json` beside it holds the local driver's options, `metadata.json` labels and creation
time. It appears by one rename and goes by one: `.new-*` and `.gone-*` are swept at the next start.
References of containers live in memory: the engine repeats them when it loads its containers.
"""

import asyncio
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from protos import errdefs
from services.dockerd.volumes import local, subpath

log = logging.getLogger("volumes")

ANONYMOUS: Final = "com.docker.volume.anonymous"
"""Label of a volume that nobody named."""
_NEW, _GONE = ".new-", ".gone-"


@dataclass(slots=True)
class Volume:
    name: str
    path: Path
    """The `_data` directory."""
    labels: dict[str, str] | None
    options: dict[str, str] | None
    created: str
    """RFC 3339, seconds."""
    driver: str = "local"
    users: set[str] = field(default_factory=set)
    """Containers that list it among their mounts."""
    active: set[str] = field(default_factory=set)
    """Containers (and copies) that have it mounted now."""

    @property
    def anonymous(self) -> bool:
        return ANONYMOUS in (self.labels or {})


class Volumes:
    """All volumes of the engine. Every verb is quick but `attach`, which may talk to a file server."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.emit: Callable[[str, str, dict[str, str]], object] = lambda action, name, attributes: None
        """Told of each event: action, volume, attributes."""
        self._volumes: dict[str, Volume] = {}
        self._mounting: dict[str, asyncio.Lock] = {}
        self._sweeper = ThreadPoolExecutor(1, "volumes")

    def __iter__(self) -> Iterator[Volume]:
        return iter(sorted(self._volumes.values(), key=lambda volume: volume.name))

    def __contains__(self, name: object) -> bool:
        return name in self._volumes

    def load(self) -> None:
        """Read what is on disk; half-made and half-removed volumes are swept in the background."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for entry in os.scandir(self.root):
            if entry.name.startswith((_NEW, _GONE)):
                self._sweeper.submit(shutil.rmtree, entry.path, True)
            elif _is_volume(entry):
                self._volumes[entry.name] = _read(Path(entry.path))

    def close(self) -> None:
        """Wait for what is being deleted."""
        self._sweeper.shutdown()

    def get(self, name: str) -> Volume:
        """NotFound `get x: no such volume`."""
        volume = self._volumes.get(name)
        if volume is None:
            raise errdefs.NotFound(f"get {name}: no such volume")
        return volume

    def create(
        self, name: str = "", driver: str = "", options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[Volume, bool]:
        """The volume, and whether it is new: one that exists is returned as it is. An empty name makes an anonymous."""
        if driver not in ("", "local"):
            raise errdefs.NotFound(
                f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found'
            )
        if name in self._volumes:
            return self._volumes[name], False
        if not name:
            labels = {**(labels or {}), ANONYMOUS: ""}
        labels = None if labels is None else dict(labels)
        volume = self._make(name or secrets.token_hex(32), dict(options or {}), labels)
        self._volumes[volume.name] = volume
        self.emit("create", volume.name, {"driver": volume.driver})
        return volume, True

    def _make(self, name: str, options: dict[str, str], labels: dict[str, str] | None) -> Volume:
        local.check_name(name)
        local.check_options(name, options)
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        volume = Volume(name, self.root / name / "_data", labels, options or None, created)
        building = self.root / f"{_NEW}{secrets.token_hex(8)}"
        building.mkdir(mode=0o700)
        (building / "_data").mkdir(mode=0o755)
        (building / "_data").chmod(0o755)
        durable = not volume.anonymous
        if options:
            _write(building / "opts.json", _options_to_json(options), durable)
        _write(building / "metadata.json", {"CreatedAt": created, "Labels": labels}, durable)
        try:
            building.rename(self.root / name)
        except OSError as error:
            shutil.rmtree(building, ignore_errors=True)
            raise errdefs.AlreadyExists(f"create {name}: {self.root / name} is in the way: {error.strerror}") from error
        return volume

    def remove(self, name: str, *, force: bool = False) -> bool:
        """Delete; Conflict while containers refer to it; False where `force` met none. Files go in the background."""
        if force and name not in self._volumes:
            return False
        volume = self.get(name)
        if volume.users:
            raise errdefs.Conflict(f"remove {name}: volume is in use - [{', '.join(sorted(volume.users))}]")
        try:
            local.unmount(volume.path)
            gone = self.root / f"{_GONE}{secrets.token_hex(8)}"
            (self.root / name).rename(gone)
        except OSError as error:
            raise errdefs.Internal(f"remove {name}: {error}") from error
        del self._volumes[name]
        self._mounting.pop(name, None)
        self._sweeper.submit(shutil.rmtree, gone, True)
        self.emit("destroy", name, {"driver": volume.driver})
        return True

    def refer(self, name: str, container_id: str) -> None:
        """A container lists the volume among its mounts."""
        if name in self._volumes:
            self._volumes[name].users.add(container_id)

    def release(self, name: str, container_id: str) -> None:
        if name in self._volumes:
            self._volumes[name].users.discard(container_id)

    def users(self, name: str) -> list[str]:
        return sorted(self.get(name).users)

    def inspect(self, volume: Volume) -> dict[str, Any]:
        """The Engine API's Volume object."""
        return {
            "CreatedAt": volume.created, "Driver": volume.driver, "Labels": volume.labels,
            "Mountpoint": str(volume.path), "Name": volume.name, "Options": volume.options, "Scope": "local",
        }

    async def attach(self, name: str, container_id: str, inside: str = "") -> str:
        """The host directory to bind: the volume's, mounted if its options ask for it, or `inside` it."""
        volume = self.get(name)
        async with self._mounting.setdefault(name, asyncio.Lock()):
            if local.needs_mount(volume.options):
                await asyncio.to_thread(local.mount, volume.path, volume.options or {})
            volume.active.add(container_id)
        if inside:
            return await asyncio.to_thread(subpath.pin, self.root, volume.path, inside, container_id)
        return str(volume.path)

    async def detach(self, name: str, container_id: str) -> None:
        """The container no longer runs: unmount on the last. Harmless if repeated."""
        volume = self._volumes.get(name)
        if volume is None:
            return
        async with self._mounting.setdefault(name, asyncio.Lock()):
            subpath.unpin(self.root, container_id)
            volume.active.discard(container_id)
            if not volume.active and local.needs_mount(volume.options):
                await asyncio.to_thread(local.unmount, volume.path)


def usage(volume: Volume) -> int:
    """Bytes its files take; walks them, so not for the loop."""
    total = 0
    for directory, _, names in os.walk(volume.path):
        for name in names:
            try:
                total += Path(directory, name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue  # a container is at work in it
    return total


def _write(path: Path, document: Any, durable: bool) -> None:
    with path.open("w") as file:
        json.dump(document, file)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def _is_volume(entry: "os.DirEntry[str]") -> bool:
    plain = not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
    return plain and Path(entry.path, "_data").is_dir()


def _read(directory: Path) -> Volume:
    """A volume from its directory; what a crash or another engine left out is filled in."""
    metadata = _load(directory / "metadata.json")
    options = _options_from_json(_load(directory / "opts.json"))
    made = time.gmtime((directory / "_data").stat().st_mtime)
    created = metadata.get("CreatedAt") or time.strftime("%Y-%m-%dT%H:%M:%SZ", made)
    return Volume(directory.name, directory / "_data", metadata.get("Labels"), options, created)


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("volume's file is not readable path=%s error=%s", path, error)
        return {}
    return document if isinstance(document, dict) else {}


_FIELDS: Final = {"type": "MountType", "o": "MountOpts", "device": "MountDevice"}
"""Option -> its key in opts.json, which is Docker's."""


def _options_to_json(options: Mapping[str, str]) -> dict[str, Any]:
    return {key: options.get(option, "") for option, key in _FIELDS.items()} | {"Quota": {"Size": 0}}


def _options_from_json(document: Mapping[str, Any]) -> dict[str, str] | None:
    options = {option: document[key] for option, key in _FIELDS.items() if document.get(key)}
    return options or None
