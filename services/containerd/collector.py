"""Runs garbage collection: soon after something was deleted, or at once when a caller waits for it."""

import asyncio
import contextlib
import logging
import time
from datetime import UTC, datetime
from typing import Final

from protos import errdefs
from protos.containerd.events.content_pb2 import ContentDelete
from protos.containerd.events.snapshot_pb2 import SnapshotRemove
from services.containerd.content.store import ContentStore
from services.containerd.events.exchange import Exchange
from services.containerd.metadata import gc
from services.containerd.metadata.db import Database
from services.containerd.metadata.leases import Leases
from services.containerd.snapshots.snapshotter import Snapshotter

log = logging.getLogger("gc")

QUIET: Final = 5.0
"""Seconds after a deletion until its leftovers are collected."""
EXPIRY: Final = 3600.0
"""Seconds until leases that have run out are noticed though nothing was deleted."""
INGEST_LIFE: Final = 24 * 3600 * 10**9
"""Nanoseconds that an ingest nobody holds may lie untouched."""


class Collector:
    def __init__(
        self, db: Database, content: ContentStore, snapshotters: dict[str, Snapshotter], exchange: Exchange
    ) -> None:
        self._db = db
        self._leases = Leases(db)
        self._content = content
        self._snapshotters = snapshotters
        self._exchange = exchange
        self._deleted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with what clients of the last life left behind."""
        self._deleted.set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def deleted(self) -> None:
        """Something went that may have held other things."""
        self._deleted.set()

    async def _run(self) -> None:
        for name, snapshotter in self._snapshotters.items():
            try:
                await snapshotter.cleanup()
            except OSError as error:
                log.warning("cannot delete what the last life removed snapshotter=%s error=%s", name, error)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EXPIRY):
                    await self._deleted.wait()
            await asyncio.sleep(QUIET)
            try:
                await self.collect()
            except (errdefs.EngineError, OSError) as error:
                log.warning("collection failed, trying again after the next deletion error=%s", error)

    async def collect(self) -> None:
        """Remove all garbage; returns when it is out of the metadata and out of sight, to be deleted in a thread."""
        self._deleted.clear()
        began = time.monotonic()
        removed = self._sweep(gc.find(self._db, datetime.now(UTC)))
        if removed:
            log.info("collected objects=%d seconds=%.3f", len(removed), time.monotonic() - began)

    def _sweep(self, garbage: gc.Garbage) -> list[gc.Node]:
        """All in one step of the event loop, so that nothing becomes referenced in between."""
        removed = []
        with self._db.write() as execute:
            for lease in garbage.leases:
                self._leases.abandon_ingests(*lease)
                execute("DELETE FROM leases WHERE namespace = ? AND id = ?", lease)
            for node in garbage.content:
                execute("DELETE FROM content WHERE namespace = ? AND digest = ?", (node.namespace, node.key))
        self._content.remove_unheld([node.key for node in garbage.content])
        self._content.expire_ingests(time.time_ns() - INGEST_LIFE, garbage.held_ingests)
        for node in garbage.content:
            self._exchange.publish(node.namespace, "/content/delete", ContentDelete(digest=node.key))
            removed.append(node)
        for node in garbage.snapshots:
            driver = node.kind.removeprefix("snapshots/")
            if driver in self._snapshotters:
                self._snapshotters[driver].remove(node.namespace, node.key)
                event = SnapshotRemove(key=node.key, snapshotter=driver)
                self._exchange.publish(node.namespace, "/snapshot/remove", event)
                removed.append(node)
        return removed
