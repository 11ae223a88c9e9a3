"""All volumes of the engine: held in memory, created, found and removed by name whichever driver they are of.

Names are unique over all drivers. References of containers live in memory: the engine repeats them when it loads its
containers. Mounting and counting: volumes/mounting.py; on disk: directories.py, records.py; plugins: lookup.py,
remote.py.
"""

import asyncio
import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from protos import errdefs, trees
from protos.ladder import everything
from services.dockerd.plugins.registry import Plugins
from services.dockerd.volumes import directories, local, quota
from services.dockerd.volumes.lookup import Lookup
from services.dockerd.volumes.mounting import Mounting
from services.dockerd.volumes.pins import Pins
from services.dockerd.volumes.records import Records
from services.dockerd.volumes.remote import Remote
from services.dockerd.volumes.volume import ANONYMOUS, LOCAL, Volume

log = logging.getLogger("volumes")


class Volumes:
    """Verbs are quick for local volumes; one of a plugin takes as long as the plugin does, and nobody else waits."""

    def __init__(self, root: Path, run: Path, plugins: Plugins | None = None) -> None:
        self.root = root
        self.owner = (0, 0)
        """Uid and gid that new directories are given to."""
        self.emit: Callable[[str, str, dict[str, str]], object] = lambda action, name, attributes: None
        """Told of each event: action, volume, attributes."""
        self.remote = Remote(plugins or Plugins())
        self.pins = Pins(run / "pins")
        self._records = Records(root, run)
        self.mounting = Mounting(self.remote, self._records)
        self._volumes: dict[str, Volume] = {}
        self._lookup = Lookup(self.remote, self._volumes, self._forget)
        self._changing: dict[str, asyncio.Lock] = {}
        self._sweeper = ThreadPoolExecutor(1, "volumes")

    def __iter__(self) -> Iterator[Volume]:
        return iter(sorted(self._volumes.values(), key=lambda volume: volume.name))

    def __contains__(self, name: object) -> bool:
        return name in self._volumes

    def load(self) -> None:
        """Read what is on disk; half-made and half-removed volumes are swept in the background."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in directories.rests(self.root):
            self._sweeper.submit(_remove, path)
        self._volumes.clear()
        self._volumes |= {each.name: each for each in (*self._records.volumes(), *directories.found(self.root))}
        self.pins.sweep()

    def close(self) -> None:
        """Wait for what is being deleted."""
        self._sweeper.shutdown()

    # finding

    def get(self, name: str) -> Volume:
        """What is known of the volume; NotFound `get x: no such volume`. Asks nobody."""
        volume = self._volumes.get(name)
        if volume is None:
            raise errdefs.NotFound(f"get {name}: no such volume")
        return volume

    async def find(self, name: str) -> Volume:
        """As `get`, with what its plugin says now, if it says anything; a volume that only a plugin knows is found."""
        return await self._lookup.find(name)

    async def listed(self) -> tuple[list[Volume], list[str]]:
        """All volumes, those of plugins as they say now, and warnings about plugins that do not answer."""
        warnings = await self._lookup.compare()
        return list(self), warnings

    def _forget(self, volume: Volume) -> None:
        self._volumes.pop(volume.name, None)
        self._changing.pop(volume.name, None)
        self.mounting.forget(volume)
        if not volume.local:
            self._records.drop(volume.name)

    # making and removing

    async def create(
        self, name: str = "", driver: str = "", options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[Volume, bool]:
        """The volume, and whether it is new: one that exists is returned as it is. An empty name makes an anonymous."""
        if name in self._volumes:
            return self._existing(name, driver), False
        if not name:
            name, labels = secrets.token_hex(32), {**(labels or {}), ANONYMOUS: ""}
        elif not driver and (found := await self._lookup.probe(name)):
            return found, False
        if name in self._volumes:
            return self._existing(name, driver), False
        kept = None if labels is None else dict(labels)
        try:
            if driver in ("", LOCAL):
                volume, new = self._make(name, dict(options or {}), kept), True
            else:
                volume, new = await self._order(name, driver, options, kept)
        except errdefs.EngineError as error:
            raise type(error)(f"create {name}: {error}") from error
        if new:
            self.emit("create", volume.name, {"driver": volume.driver})
        return volume, new

    def _existing(self, name: str, driver: str) -> Volume:
        volume = self._volumes[name]
        if driver and driver != volume.driver:
            raise errdefs.Conflict(
                f"create {name}: driver '{volume.driver}' already has volume '{name}': volume name must be unique"
            )
        return volume

    def _make(self, name: str, options: dict[str, str], labels: dict[str, str] | None) -> Volume:
        local.check_name(name)
        size = local.check_options(options)
        volume = directories.make(
            self.root, name, labels, options, size, lambda data: self._prepare(data, size)
        )
        self._volumes[name] = volume
        return volume

    def _prepare(self, data: Path, size: int) -> None:
        os.chown(data, *self.owner)
        quota.limit(self.root, data, size)

    async def _order(
        self, name: str, driver: str, options: Mapping[str, str] | None, labels: dict[str, str] | None
    ) -> tuple[Volume, bool]:
        """A volume of a plugin: the one it has, or a new one."""
        async with self._changing.setdefault(name, asyncio.Lock()):
            if name in self._volumes:
                return self._volumes[name], False
            await self.remote.activate(driver)
            scope = await self.remote.scope(driver)
            if found := await self.remote.get(driver, name):
                return await self._lookup.known(driver, found), False
            await self.remote.create(driver, name, options)
            volume = Volume(name, "", labels, dict(options) if options else None, driver=driver, scope=scope)
            self._volumes[name] = volume
            self._records.keep(volume)
            await self._locate(volume)
        return volume, True

    async def _locate(self, volume: Volume) -> None:
        """Where it is; many plugins do not know before it is mounted."""
        try:
            volume.mountpoint = await self.remote.path(volume.driver, volume.name)
        except errdefs.EngineError as error:
            log.debug("volume's path is not known volume=%s error=%s", volume.name, error)

    async def remove(self, name: str, *, force: bool = False) -> bool:
        """Delete; Conflict while containers refer to it; False where `force` met none. Files go in the background."""
        try:
            volume = self._volumes[name] if name in self._volumes else await self.find(name)
        except errdefs.NotFound:
            if force:
                return False
            raise
        _refuse_used(volume)
        if volume.local:
            self.discard(volume)
        else:
            await self._return(volume, force)
        self.emit("destroy", name, {"driver": volume.driver})
        return True

    def discard(self, volume: Volume) -> None:
        """Delete a local volume that nobody uses, at once."""
        try:
            local.unmount(volume.path)
            gone = directories.discard(self.root, volume.name)
        except OSError as error:
            raise errdefs.Internal(f"remove {volume.name}: {error}") from error
        self._forget(volume)
        self._sweeper.submit(_remove, gone)

    async def _return(self, volume: Volume, force: bool) -> None:
        """Have a plugin remove its volume; `force` forgets it whatever the plugin says."""
        async with self._changing.setdefault(volume.name, asyncio.Lock()):
            await self.mounting.settled(volume)
            _refuse_used(volume)
            try:
                await self.remote.activate(volume.driver)
                await self.remote.remove(volume.driver, volume.name)
            except errdefs.EngineError as error:
                if force:
                    self._forget(volume)
                raise type(error)(f"remove {volume.name}: {error}") from error
            self._forget(volume)

    # references

    def refer(self, name: str, container_id: str, driver: str = LOCAL, mountpoint: str = "") -> None:
        """A container lists the volume among its mounts; one of a plugin is known from then on."""
        if name not in self._volumes and driver not in ("", LOCAL):
            self._volumes[name] = Volume(name, mountpoint, driver=driver)
        if name in self._volumes:
            self._volumes[name].users.add(container_id)

    def release(self, name: str, container_id: str) -> None:
        if name in self._volumes:
            self._volumes[name].users.discard(container_id)

    # copy-up

    def filling(self, volume: Volume, *, done: bool) -> None:
        """Mark the volume while a copy-up is under way, so that one that was cut short is repeated."""
        volume.unfilled = not done
        if not volume.local:
            self._records.keep(volume)
        elif done:
            (self.root / volume.name / directories.UNFILLED).unlink(missing_ok=True)
        else:
            (self.root / volume.name / directories.UNFILLED).touch()


def _refuse_used(volume: Volume) -> None:
    if volume.users:
        users = ", ".join(sorted(volume.users))
        raise errdefs.Conflict(f"remove {volume.name}: volume is in use - [{users}]")


def _remove(path: str | Path) -> None:
    """Delete what is off the books; what cannot be is tried again at the next start."""
    try:
        trees.remove(path)
    except OSError as error:
        log.warning("a volume's rest stays path=%s error=%s", path, error)


def usage(volume: Volume) -> int:
    """Bytes its files take; walks them, so not for the loop."""
    return sum(facts.st_blocks * 512 for facts in everything(volume.path) if not stat.S_ISDIR(facts.st_mode))
