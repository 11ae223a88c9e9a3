"""Metadata on disk: soon after each change, and at once where a caller must rely on it."""

import asyncio
import logging
import os
import sqlite3
from pathlib import Path
from typing import Final

from services.containerd import threads
from services.containerd.metadata.db import Database

log = logging.getLogger("upkeep")

PAUSE: Final = 2.0
"""Seconds from a change to its checkpoint: what a power cut may take."""


class Upkeep:
    def __init__(self, db: Database, blobs: Path) -> None:
        self._db = db
        self._blobs = blobs
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def sync(self) -> None:
        """Return once every committed blob and row is on disk: one sync for all that an image is made of."""
        await threads.run(self._sync)

    def _sync(self) -> None:
        directory = os.open(self._blobs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self._db.checkpoint()

    async def _run(self) -> None:
        while True:
            await self._db.changed.wait()
            await asyncio.sleep(PAUSE)
            self._db.changed.clear()
            try:
                await self.sync()
            except (OSError, sqlite3.Error) as error:
                log.warning("metadata is not on disk yet, trying again after the next change error=%s", error)
