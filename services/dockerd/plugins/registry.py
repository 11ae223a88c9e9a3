"""The plugins this daemon has talked to: found by name and activated when they are first wanted, then kept."""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Final

from protos.errdefs import DeadlineExceeded, NotFound, Unavailable, Unknown
from services.dockerd.plugins import discovery
from services.dockerd.plugins.discovery import Directories, Place
from services.dockerd.plugins.plugin import PATIENCE, Plugin, pause

log = logging.getLogger("plugins")

ACTIVATION: Final = 30.0
"""Seconds a plugin may take over Plugin.Activate, once it listens."""


@dataclass(slots=True)
class Plugins:
    """`get` gives a plugin that answers; who asks for the same name meanwhile waits for the same activation."""

    directories: Directories = field(default_factory=Directories)
    _known: dict[str, Plugin] = field(default_factory=dict)
    _coming: dict[str, asyncio.Task[Plugin]] = field(default_factory=dict)

    async def get(self, name: str, kind: str, *, patience: float = PATIENCE, await_file: bool = False) -> Plugin:
        """The plugin `name` that implements `kind`, say VolumeDriver.

        `patience` bounds the time in which a plugin that is found must begin to listen; with `await_file` also that in
        which its file must appear, for those who ask at the daemon's start.
        """
        plugin = self._known.get(name)
        if plugin is None:
            plugin = await asyncio.shield(self._activation(name, patience, await_file))
        if kind not in plugin.implements:
            problem = "legacy plugin: Plugin does not implement the requested driver"
            raise Unknown(f'{problem}: plugin="{name}", requested implementation="{kind}"')
        return plugin

    def _activation(self, name: str, patience: float, await_file: bool) -> asyncio.Task[Plugin]:
        """The one that is under way, or a new one. It has deadlines of its own, whoever still waits for it."""
        if not (task := self._coming.get(name)):
            task = asyncio.ensure_future(self._activate(name, patience, await_file))
            self._coming[name] = task
            task.add_done_callback(lambda done: self._activated(name, done))
        return task

    def _activated(self, name: str, task: asyncio.Task[Plugin]) -> None:
        del self._coming[name]
        if not task.cancelled() and (error := task.exception()):
            log.debug("plugin not activated name=%s error=%s", name, error)

    async def _activate(self, name: str, patience: float, await_file: bool) -> Plugin:
        place = await self._find(name, patience if await_file else 0)
        try:
            document = await Plugin(place).call("Plugin.Activate", timeout=ACTIVATION, patience=patience)
        except (Unknown, Unavailable, DeadlineExceeded) as error:
            raise type(error)(f"legacy plugin: {error}") from error
        implements = document.get("Implements")
        plugin = Plugin(place, frozenset(map(str, implements if isinstance(implements, list) else ())))
        log.info("plugin activated name=%s address=%s implements=%s", name, place.address, sorted(plugin.implements))
        self._known[name] = plugin
        return plugin

    async def _find(self, name: str, patience: float) -> Place:
        start, retries = time.monotonic(), 0
        while True:
            try:
                return discovery.find(name, self.directories)
            except NotFound:
                wait = pause(retries, time.monotonic() - start, patience)
                if wait is None:
                    raise
                log.warning("unable to locate plugin name=%s retry=%gs", name, wait)
                retries += 1
                await asyncio.sleep(wait)

    def check(self, name: str) -> None:
        """NotFound for a name that `get` would not find; nobody is called."""
        if name not in self._known:
            discovery.find(name, self.directories)

    def forget(self, name: str) -> None:
        """Let the next `get` find and activate it anew: it has moved, or is another one now."""
        self._known.pop(name, None)

    def active(self, kind: str) -> list[str]:
        """Names of the activated plugins that implement `kind`."""
        return sorted(plugin.name for plugin in self._known.values() if kind in plugin.implements)

    def names(self) -> list[str]:
        """Names of all plugins that are there, activated or not."""
        return discovery.names(self.directories)
