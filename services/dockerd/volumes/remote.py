"""Volumes that a plugin holds: `VolumeDriver.*` of Docker's plugin protocol, with Docker's texts and times.

A plugin that hangs or has died concerns whoever needs its answer. Who merely looks (`quick`) waits a moment, and does
not ask it again for a while.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from protos import errdefs
from services.dockerd.plugins.plugin import PATIENCE
from services.dockerd.plugins.registry import Plugins

KIND: Final = "VolumeDriver"
LONG: Final = 120.0
"""Seconds for Create, Remove, Mount and Unmount."""
SHORT: Final = 60.0
QUICK: Final = 3.0
"""Seconds for an answer without which we can do."""
REST: Final = 30.0
"""Seconds in which a plugin that did not answer is not asked again by those who merely look."""
_SCOPES: Final = ("local", "global")


@dataclass(frozen=True, slots=True)
class Found:
    """What a plugin says of one of its volumes."""

    name: str
    mountpoint: str = ""
    created: str = ""
    status: dict[str, Any] | None = None


@dataclass(slots=True)
class Remote:
    plugins: Plugins
    _scopes: dict[str, str] = field(default_factory=dict)
    _silent: dict[str, float] = field(default_factory=dict)
    """Driver -> until when it is left alone."""

    async def create(self, driver: str, name: str, options: Mapping[str, str] | None) -> None:
        await self._call(driver, "Create", {"Name": name, "Opts": dict(options) if options else None}, LONG)

    async def remove(self, driver: str, name: str) -> None:
        await self._call(driver, "Remove", {"Name": name}, LONG)

    async def mount(self, driver: str, name: str, mount_id: str) -> str:
        """The host's directory in which it is mounted from now on."""
        return _path(await self._call(driver, "Mount", {"Name": name, "ID": mount_id}, LONG))

    async def unmount(self, driver: str, name: str, mount_id: str, *, patience: float = PATIENCE) -> None:
        await self._call(driver, "Unmount", {"Name": name, "ID": mount_id}, LONG, patience)

    async def path(self, driver: str, name: str) -> str:
        return _path(await self._call(driver, "Path", {"Name": name}, SHORT))

    async def get(self, driver: str, name: str, *, quick: bool = False) -> Found | None:
        """The volume; None where the plugin says that it has none of that name, in whatever words."""
        timeout, patience = (QUICK, 0.0) if quick else (SHORT, PATIENCE)
        try:
            document = await self._call(driver, "Get", {"Name": name}, timeout, patience, quick=quick)
        except _Answered:
            return None
        return _found(document.get("Volume"))

    async def volumes(self, driver: str) -> list[Found]:
        document = await self._call(driver, "List", {}, QUICK, 0, quick=True)
        volumes = document.get("Volumes")
        found = [_found(each) for each in (volumes if isinstance(volumes, list) else ())]
        return [each for each in found if each]

    async def scope(self, driver: str, *, quick: bool = False) -> str:
        """How far its volumes reach; a plugin that does not know of capabilities has local ones."""
        if driver not in self._scopes:
            try:
                document = await self._call(driver, "Capabilities", {}, SHORT, 0 if quick else PATIENCE, quick=quick)
            except _Answered:
                document = {}
            capabilities = document.get("Capabilities")
            said = capabilities.get("Scope") if isinstance(capabilities, dict) else None
            scope = str(said or "local").lower()
            if scope not in _SCOPES:
                raise errdefs.Internal(f'Driver "{driver}" provided an invalid capability scope: {said}')
            self._scopes[driver] = scope
        return self._scopes[driver]

    async def activate(self, driver: str, *, patience: float = PATIENCE, await_file: bool = False) -> None:
        """Find the plugin, in Docker's words if that fails."""
        try:
            await self.plugins.get(driver, KIND, patience=patience, await_file=await_file)
        except errdefs.EngineError as error:
            raise type(error)(f"error looking up volume plugin {driver}: {error}") from error

    def names(self) -> list[str]:
        """Plugins that may hold volumes and have answered lately."""
        now = time.monotonic()
        return [name for name in self.plugins.names() if self._silent.get(name, 0) <= now]

    async def _call(
        self, driver: str, verb: str, arguments: Mapping[str, Any], timeout: float, patience: float = PATIENCE, *,
        quick: bool = False,
    ) -> dict[str, Any]:
        if quick and self._silent.get(driver, 0) > time.monotonic():
            raise errdefs.Unavailable(f"plugin {driver} has not answered lately")
        try:
            async with asyncio.timeout(QUICK if quick else None):
                await self.activate(driver, patience=patience)
                plugin = await self.plugins.get(driver, KIND, patience=patience)
                document = await plugin.call(f"{KIND}.{verb}", arguments, timeout=timeout, patience=patience)
        except errdefs.Unknown as error:
            raise _Answered(str(error)) from error
        except TimeoutError as error:
            self._lost(driver, quick)
            raise errdefs.DeadlineExceeded(f"plugin {driver} does not answer within {QUICK:g} s") from error
        except (errdefs.DeadlineExceeded, errdefs.Unavailable):
            self._lost(driver, quick)
            raise
        self._silent.pop(driver, None)
        return document

    def _lost(self, driver: str, quick: bool) -> None:
        self.plugins.forget(driver)  # should it come back, it may be another one, elsewhere
        self._scopes.pop(driver, None)
        if quick:
            self._silent[driver] = time.monotonic() + REST


class _Answered(errdefs.Unknown):
    """The plugin is there and says no."""


def _found(document: object) -> Found | None:
    if not isinstance(document, dict) or not document.get("Name"):
        return None
    status = document.get("Status")
    return Found(
        str(document["Name"]), str(document.get("Mountpoint") or ""), str(document.get("CreatedAt") or ""),
        status if isinstance(status, dict) else None,
    )


def _path(document: Mapping[str, Any]) -> str:
    return str(document.get("Mountpoint") or "")
