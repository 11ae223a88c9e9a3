"""Blobs from registries: each fetched once however many pulls want it, gone on with where it broke off, dropped when
nobody waits any more."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from protos import errdefs
from services.dockerd.images import content
from services.dockerd.images.ingest import Ingest
from services.dockerd.images.manifest import Descriptor
from services.dockerd.images.store import Images
from services.dockerd.images.turns import Turns
from services.dockerd.registry import errors
from services.dockerd.registry.repository import Repository
from services.dockerd.registry.settings import Settings

log = logging.getLogger("images")

_PIECE: Final = 1 << 20
_FORGIVEN: Final = 1 << 20
"""Bytes an attempt must bring to not count as a failed one."""
_LONGEST: Final = 30
"""Seconds between two attempts at most."""

Report = Callable[[str, int, int], None]
"""Told the state of a blob: text, bytes so far, bytes in all (0 where there is nothing to draw)."""


@dataclass(eq=False)
class _Download:
    wanted: Descriptor
    watchers: list[Report] = field(default_factory=list)
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    released: asyncio.Event = field(default_factory=asyncio.Event)
    state: tuple[str, int, int] = ("", 0, 0)
    received: int = 0
    """Bytes that all attempts together brought."""
    task: asyncio.Task[None] | None = None

    def tell(self, text: str, current: int = 0, total: int = 0) -> None:
        self.state = (text, current, total)
        for report in self.watchers:
            report(text, current, total)


class Downloads:
    def __init__(self, images: Images, settings: Callable[[], Settings]) -> None:
        self._images = images
        self._settings = settings
        self._running: dict[str, _Download] = {}
        self._turns = Turns(lambda: settings().downloads)

    async def fetch(self, source: Repository, wanted: Descriptor, lease: str, report: Report) -> None:
        """Have a blob in the content store, held by `lease`. What another pull fails for is tried again by `source`."""
        download = self._running.get(wanted.digest)
        if download is None:
            return await self._await(self._start(source, wanted), lease, report)
        try:
            await self._await(download, lease, report)
        except errors.Refused:
            await self._await(self._running.get(wanted.digest) or self._start(source, wanted), lease, report)

    def _start(self, source: Repository, wanted: Descriptor) -> _Download:
        download = self._running[wanted.digest] = _Download(wanted)
        download.task = asyncio.create_task(self._run(source, download), name=f"download {wanted.digest}")
        return download

    async def _await(self, download: _Download, lease: str, report: Report) -> None:
        download.watchers.append(report)
        if download.state[0]:
            report(*download.state)
        try:
            await asyncio.shield(download.done)
            await content.hold(self._images.client, lease, download.wanted.digest)
        finally:
            download.watchers.remove(report)
            if not download.watchers:
                self._forget(download)

    def _forget(self, download: _Download) -> None:
        if self._running.get(download.wanted.digest) is download:
            del self._running[download.wanted.digest]
        download.released.set()
        if download.task and not download.done.done():
            download.task.cancel()

    async def _run(self, source: Repository, download: _Download) -> None:
        """Fetch, then hold what was fetched by a lease of its own until all who wait hold it by theirs."""
        try:
            async with source.session.held(), self._images.lease() as lease:
                if self._turns.full:
                    download.tell("Waiting")
                async with self._turns.one():
                    await self._whole(source, download, lease)
                download.done.set_result(None)
                await download.released.wait()
        except asyncio.CancelledError:
            download.done.cancel()
            raise
        except Exception as error:
            if download.done.done():
                log.warning("lease of a download not given back digest=%s error=%s", download.wanted.digest, error)
            else:
                download.done.set_exception(error)
                self._forget(download)

    async def _whole(self, source: Repository, download: _Download, lease: str) -> None:
        try:
            await self._attempts(source, download, lease)
        except BaseException:
            await asyncio.shield(content.forget(self._images.client, download.wanted))
            raise

    async def _attempts(self, source: Repository, download: _Download, lease: str) -> None:
        failed = 0
        while True:
            before = download.received
            try:
                return await self._attempt(source, download, lease)
            except (errors.Unreachable, errors.Refused) as error:
                if isinstance(error, errors.Refused) and not error.passing:
                    raise
                failed = 1 if download.received - before >= _FORGIVEN else failed + 1
                if failed >= self._settings().attempts:
                    raise
                log.info("download broke off digest=%s attempt=%d error=%s", download.wanted.digest, failed, error)
            for left in range(min(2 ** (failed - 1), _LONGEST), 0, -1):
                download.tell(f"Retrying in {left} second{'s' if left > 1 else ''}")
                await asyncio.sleep(1)

    async def _attempt(self, source: Repository, download: _Download, lease: str) -> None:
        wanted = download.wanted
        ingest = content.fetching(self._images.client, wanted, lease)
        try:
            await ingest.open()
            if ingest.offset < wanted.size:
                await self._copy(source, download, ingest)
            download.tell("Verifying Checksum", 0, 0)
            await ingest.commit(source_labels(source, []))
        except errdefs.AlreadyExists:
            pass
        except errdefs.FailedPrecondition as error:
            raise errdefs.DataLoss(f"filesystem layer verification failed for digest {wanted.digest}") from error
        finally:
            await ingest.close()
        download.tell("Download complete")

    async def _copy(self, source: Repository, download: _Download, ingest: Ingest) -> None:
        """Bytes of the registry in messages of the content store."""
        wanted, buffer = download.wanted, bytearray()
        async for piece in source.blob(wanted, ingest.offset):
            buffer += piece
            download.received += len(piece)
            while len(buffer) >= _PIECE:
                await ingest.write(bytes(buffer[:_PIECE]))
                del buffer[:_PIECE]
                download.tell("Downloading", ingest.offset, wanted.size)
        if buffer:
            await ingest.write(bytes(buffer))
        download.tell("Downloading", ingest.offset, wanted.size)


def source_labels(source: Repository, known: Iterable[str]) -> dict[str, str]:
    """containerd's label of the repositories of a registry that a blob is known to be in."""
    paths = list(dict.fromkeys((*known, source.path)))
    return {f"containerd.io/distribution.source.{source.session.endpoint.host}": ",".join(paths)}
