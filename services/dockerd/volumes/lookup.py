"""What plugins say of their volumes, learned into the engine's table of them: asked for one by name, or for all."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from protos import errdefs
from services.dockerd.volumes.remote import Found, Remote
from services.dockerd.volumes.volume import Volume

log = logging.getLogger("volumes")


class Lookup:
    """`volumes` are the engine's, by name; `forget` drops one that is there no more."""

    def __init__(self, remote: Remote, volumes: dict[str, Volume], forget: Callable[[Volume], None]) -> None:
        self._remote = remote
        self._volumes = volumes
        self._forget = forget

    async def find(self, name: str) -> Volume:
        """The volume with what its plugin says now, if it says anything; NotFound `get x: no such volume`."""
        volume = self._volumes.get(name)
        if volume is None:
            volume = await self.probe(name)
            if volume is None:
                raise errdefs.NotFound(f"get {name}: no such volume")
            return volume
        if not volume.local:
            await self._refresh(volume)
        return volume

    async def _refresh(self, volume: Volume) -> None:
        try:
            found = await self._remote.get(volume.driver, volume.name, quick=True)
        except errdefs.NotFound as error:
            raise errdefs.NotFound(f"get {volume.name}: {_checking(volume)}: {error}") from error
        except errdefs.EngineError as error:
            log.warning("volume's plugin does not answer volume=%s error=%s", volume.name, error)
            return
        if found is None:
            if not volume.users:
                self._forget(volume)
            raise errdefs.NotFound(f"get {volume.name}: no such volume")
        _learn(volume, found)

    async def probe(self, name: str) -> Volume | None:
        """Ask every plugin for a volume of that name; those that do not answer have none."""
        drivers = self._remote.names()
        answers = await asyncio.gather(
            *(self._remote.get(each, name, quick=True) for each in drivers), return_exceptions=True
        )
        for driver, found in zip(drivers, answers, strict=True):
            if isinstance(found, Found):
                with contextlib.suppress(errdefs.EngineError):
                    return await self.known(driver, found)
            if isinstance(found, BaseException) and not isinstance(found, errdefs.EngineError):
                raise found
        return None

    async def known(self, driver: str, found: Found) -> Volume:
        """The entry of a volume that a plugin told us of; it is new to us, not to the plugin."""
        if found.name not in self._volumes:
            scope = await self._remote.scope(driver, quick=True)
            self._volumes.setdefault(found.name, Volume(found.name, "", driver=driver, scope=scope))
        volume = self._volumes[found.name]
        if volume.driver == driver:
            _learn(volume, found)
        return volume

    async def compare(self) -> list[str]:
        """Learn what all plugins have; warnings about those that do not answer."""
        using = {each.driver for each in self._volumes.values() if not each.local}
        drivers = sorted({*self._remote.names(), *using})
        answers = await asyncio.gather(*map(self._compare, drivers), return_exceptions=True)
        warnings = []
        for driver, problem in zip(drivers, answers, strict=True):
            if isinstance(problem, errdefs.EngineError):
                warnings += [f"list {driver}: {problem}"] if driver in using else []
            elif problem is not None:
                raise problem
        return warnings

    async def _compare(self, driver: str) -> None:
        """Learn which volumes a plugin has; what it had and has no longer is forgotten, unless a container has it."""
        known = [each for each in self._volumes.values() if each.driver == driver]
        told = await self._remote.volumes(driver)
        for found in told:
            await self.known(driver, found)
        names = {each.name for each in told}
        for volume in known:
            if volume.name not in names and not volume.users:
                self._forget(volume)


def _learn(volume: Volume, found: Found) -> None:
    volume.mountpoint = found.mountpoint or volume.mountpoint
    volume.created, volume.status = found.created or volume.created, found.status


def _checking(volume: Volume) -> str:
    return f'error while checking if volume "{volume.name}" exists in driver "{volume.driver}"'
