"""Who has which volume mounted: on the first use and until the last for the local driver, per use for a plugin, which
counts by the ids it is given.

An id stays the same over the life of a container's mount, so that a daemon that comes back gives back what its
predecessor has taken.
"""

import asyncio
import hashlib
import logging
from functools import partial
from typing import Any, Final

from protos import errdefs
from services.dockerd import alone
from services.dockerd.volumes import local
from services.dockerd.volumes.records import Mounted, Records
from services.dockerd.volumes.remote import Remote
from services.dockerd.volumes.volume import Volume

log = logging.getLogger("volumes")

LEAVE: Final = 3.0
"""Seconds that the end of a container waits for a plugin to unmount; it goes on doing so behind."""
PAUSE: Final = 1.0
LONGEST: Final = 60.0
"""Seconds between the tries to reach a plugin that is to unmount, at first and in the end."""


def identity(container_id: str, destination: str, purpose: str = "") -> str:
    """The id of a container's mount, or of a copy into or out of it."""
    return hashlib.sha256(f"{container_id}\0{destination}\0{purpose}".encode()).hexdigest()


class Mounting:
    def __init__(self, remote: Remote, records: Records) -> None:
        self._remote = remote
        self._records = records
        self._locks: dict[str, asyncio.Lock] = {}
        """Of a local volume by its name, of a plugin's mount by its id."""
        self._leaving: dict[asyncio.Task[None], str] = {}
        """Unmounts under way, with the names of their volumes."""
        self._waiting: set[asyncio.Future[Any]] = set()
        """What waits for its plugin, and nobody for it."""
        self._coming: set[asyncio.Future[str]] = set()
        """Mounts under way."""
        self._closed = False
        self._used: set[str] = set()
        """Ids of plugins' mounts that are in use."""

    async def attach(self, volume: Volume, mount_id: str) -> str:
        """The host directory of the volume, mounted if need be; Unavailable where `refuse` cuts that short."""
        if volume.local and not local.needs_mount(volume.options):
            volume.active.add(mount_id)
            return volume.mountpoint
        how = self._mount if volume.local else self._order
        work = asyncio.ensure_future(how(volume, mount_id))
        self._coming.add(work)
        work.add_done_callback(self._coming.discard)
        try:
            return await work
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._closed or (task and task.cancelling()):
                raise
            raise errdefs.Unavailable("dockerd is shutting down") from None

    def refuse(self) -> None:
        """dockerd is about to end: nobody waits for a mount any longer."""
        self._closed = True
        for work in list(self._coming):
            work.cancel()

    async def _mount(self, volume: Volume, mount_id: str) -> str:
        async with self._lock(volume.name):
            await alone.run(lambda: local.mount(volume.path, volume.options or {}), "mount")
            volume.active.add(mount_id)
        return volume.mountpoint

    async def _order(self, volume: Volume, mount_id: str) -> str:
        async with self._lock(mount_id):
            return volume.mountpoint if mount_id in volume.active else await self._ask(volume, mount_id)

    async def _ask(self, volume: Volume, mount_id: str) -> str:
        mounted = Mounted(mount_id, volume.name, volume.driver)
        await self._remote.activate(volume.driver)
        if self._records.mounting(mounted):  # what it was once asked for, it was not yet told to give up
            await self._unmount(mounted)
            self._records.mounting(mounted)
        asked = asyncio.ensure_future(self._remote.mount(volume.driver, volume.name, mount_id))
        try:
            mountpoint = await asyncio.shield(asked)
        except errdefs.Unknown:
            self._records.unmounted(mount_id)
            raise
        except asyncio.CancelledError:
            self._waiting.add(asked)
            asked.add_done_callback(self._abandoned)
            if not self._closed:  # else the next daemon does it
                self._give_back(mounted, after=asked)
            raise
        except BaseException:  # it may have been mounted all the same
            self._give_back(mounted)
            raise
        if not mountpoint.startswith("/"):
            self._give_back(mounted)
            raise errdefs.Internal(f"VolumeDriver.Mount: the plugin's mountpoint is no absolute path: {mountpoint!r}")
        volume.mountpoint = mountpoint
        self.adopt(volume, mount_id)
        return mountpoint

    async def detach(self, volume: Volume, mount_id: str) -> bool:
        """One user less; whether it was one. Harmless if repeated."""
        known = mount_id in volume.active
        volume.active.discard(mount_id)
        self._used.discard(mount_id)
        if not volume.local:
            if known:
                await asyncio.wait([self._give_back(Mounted(mount_id, volume.name, volume.driver))], timeout=LEAVE)
        elif local.needs_mount(volume.options):
            async with self._lock(volume.name):
                if not volume.active:
                    await alone.run(lambda: local.unmount(volume.path), "unmount")
        return known

    def _abandoned(self, asked: asyncio.Future[str]) -> None:
        self._waiting.discard(asked)
        if not asked.cancelled() and (error := asked.exception()):
            log.debug("mount failed that nobody waits for error=%s", error)

    def _give_back(
        self, mounted: Mounted, *, late: bool = False, after: asyncio.Future[str] | None = None
    ) -> asyncio.Task[None]:
        """Have the plugin unmount, once it has answered what was asked of it before."""
        task = asyncio.get_running_loop().create_task(self._try_unmount(mounted, late, after), name="unmount")
        self._leaving[task] = mounted.name
        task.add_done_callback(lambda done: self._leaving.pop(done, None))
        return task

    async def _try_unmount(self, mounted: Mounted, late: bool, after: asyncio.Future[str] | None) -> None:
        if after:
            await asyncio.wait([after])
        async with self._lock(mounted.mount_id):
            if not self._records.has(mounted.mount_id) or mounted.mount_id in self._used:
                return  # somebody was quicker
            try:
                await self._remote.activate(mounted.driver, await_file=late)
                await self._unmount(mounted)
            except errdefs.EngineError as error:
                log.warning("volume not unmounted volume=%s driver=%s error=%s", mounted.name, mounted.driver, error)
                again = asyncio.get_running_loop().create_task(self._keep_trying(mounted), name="unmount")
                self._waiting.add(again)
                again.add_done_callback(self._waiting.discard)

    async def _keep_trying(self, mounted: Mounted) -> None:
        """The plugin is away: once it is back, it is told; should dockerd end before, the next one does it."""
        pause = PAUSE
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST)
            async with self._lock(mounted.mount_id):
                if not self._records.has(mounted.mount_id) or mounted.mount_id in self._used:
                    return None  # a further use has done it
                try:
                    await self._remote.activate(mounted.driver, patience=0)
                    return await self._unmount(mounted)
                except errdefs.EngineError as error:
                    log.debug("volume not unmounted volume=%s error=%s", mounted.name, error)

    async def _unmount(self, mounted: Mounted) -> None:
        """Have the plugin unmount, whatever it says to it; an error where it says nothing."""
        try:
            await self._remote.unmount(mounted.driver, mounted.name, mounted.mount_id, patience=0)
        except errdefs.Unknown as error:
            log.warning("volume not unmounted volume=%s driver=%s error=%s", mounted.name, mounted.driver, error)
        self._records.unmounted(mounted.mount_id)

    def adopt(self, volume: Volume, mount_id: str) -> None:
        """A container that runs already has it mounted."""
        volume.active.add(mount_id)
        if not volume.local:
            self._used.add(mount_id)

    async def settle(self, volumes: list[Volume]) -> None:
        """After a start: take away what an earlier life has mounted and nobody uses any more."""
        for mounted in self._records.mounts():
            if mounted.mount_id not in self._used:
                self._give_back(mounted, late=True)
        for volume in volumes:
            if volume.local and local.needs_mount(volume.options) and not volume.active:
                async with self._lock(volume.name):
                    await alone.run(partial(local.unmount, volume.path), "unmount")

    async def settled(self, volume: Volume) -> None:
        """What is being unmounted of the volume is."""
        if leaving := [task for task, name in self._leaving.items() if name == volume.name]:
            await asyncio.wait(leaving)

    async def stop(self) -> None:
        """Wait a moment for what is being unmounted; the next daemon sees to the rest."""
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=LEAVE)
        for task in (*self._leaving, *self._waiting):
            task.cancel()

    def forget(self, volume: Volume) -> None:
        self._locks.pop(volume.name, None)

    def _lock(self, key: str) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())
