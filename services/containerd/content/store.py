"""Blobs as files named by their digest, shared by all namespaces; the database says who sees them.

A blob is visible once its file is verified, synced and renamed and its row is written. Rows are removed before
files, files are placed before rows, both without an await between: a crash leaves at most a file nobody names,
which the next start removes.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from protos import errdefs
from protos.containerd.services.content.v1.content_pb2 import Info, Status
from services.containerd import filters, threads
from services.containerd.content.ingest import Ingest
from services.containerd.identifiers import check_digest
from services.containerd.metadata import labels as labelling
from services.containerd.metadata.content import ContentRows, IngestRow

log = logging.getLogger("content")

BLOBS: Final = Path("blobs", "sha256")
INGESTS: Final = "ingest"
TRASH: Final = "trash"
RESUME_IN_PLACE: Final = 1 << 20
"""Ingests of at most this size are hashed again at once; larger ones in a thread."""


class ContentStore:
    def __init__(self, root: Path, rows: ContentRows) -> None:
        self.root = root
        self.blobs = root / BLOBS
        self._ingests = root / INGESTS
        self._trash = root / TRASH
        self._rows = rows
        self._writing: dict[tuple[str, str], int] = {}
        """Refs that are being written, with the ids of their ingests; 0 while that is not known."""
        self.info = rows.info
        self.select = rows.select
        self.has = rows.has

    def open(self) -> None:
        """Make the directories, and mend what a crash or a hand left behind."""
        for directory in (self.blobs, self._ingests, self._trash):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for entry in os.scandir(self._trash):
            Path(entry.path).unlink()
        known = {digest.removeprefix("sha256:") for digest in self._rows.digests()}
        found = {entry.name for entry in os.scandir(self.blobs)}
        for name in found - known:
            log.info("removing a blob that no namespace holds digest=sha256:%s", name)
            (self.blobs / name).unlink()
        for name in known - found:
            log.error("a blob's file is gone, forgetting it digest=sha256:%s", name)
            self._rows.drop_everywhere(f"sha256:{name}")
        self._remove_forgotten()

    def path(self, digest: str) -> Path:
        return self.blobs / check_digest(digest).removeprefix("sha256:")

    def open_blob(self, namespace: str, digest: str) -> tuple[int, Info]:
        """A descriptor of a visible blob, which outlives its removal, and what is known of it."""
        info = self._rows.info(namespace, digest)
        try:
            return os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC), info
        except FileNotFoundError as error:
            raise errdefs.NotFound(f"content {digest}: its file is gone: not found") from error

    def update(self, namespace: str, wanted: Info, paths: Sequence[str]) -> Info:
        return self._rows.update(wanted, namespace, paths)

    def delete(self, namespace: str, digest: str) -> None:
        """Hide a blob from a namespace; the last one takes the file along."""
        self._rows.delete(namespace, digest)
        self.remove_unheld([digest])

    def remove_unheld(self, digests: Sequence[str]) -> None:
        """Remove the files of blobs that no namespace holds any more: out of sight now, off the disk in a thread."""
        for digest in digests:
            if self._rows.size_anywhere(digest) is None and self.path(digest).exists():
                trash = self._trash / f"{digest.removeprefix('sha256:')}.{os.urandom(4).hex()}"
                self.path(digest).rename(trash)
                asyncio.get_running_loop().run_in_executor(None, trash.unlink)

    # Ingests

    async def writer(self, namespace: str, ref: str, total: int, expected: str, lease: str) -> Ingest:
        """The one writer of `ref`; AlreadyExists where the expected blob is, Unavailable while another writes."""
        if not ref:
            raise errdefs.InvalidArgument("ref must not be empty")
        if expected and self._there(namespace, check_digest(expected), total, lease):
            raise errdefs.AlreadyExists(f"content {expected}: already exists")
        if (namespace, ref) in self._writing:
            raise errdefs.Unavailable(f"ref {ref} locked: another writer has it open: unavailable")
        self._writing[namespace, ref] = 0
        try:
            row = self._rows.begin_ingest(namespace, ref, total, expected, lease)
            self._writing[namespace, ref] = row.id
            ingest = Ingest(self, row, self._path(row), lease, lambda: self._written(namespace, ref))
        except BaseException:
            self._written(namespace, ref)
            raise
        try:
            if self._path(row).stat().st_size > RESUME_IN_PLACE:
                await threads.run(ingest.resume)
            else:
                ingest.resume()
        except BaseException:
            ingest.close()
            raise
        return ingest

    def _written(self, namespace: str, ref: str) -> None:
        self._writing.pop((namespace, ref), None)

    def _there(self, namespace: str, digest: str, size: int, lease: str) -> bool:
        """Whether the blob is visible here now: it was, or another namespace holds it and from now on this one does."""
        if self.claim(namespace, digest, lease):
            return True
        held = self._rows.size_anywhere(digest)
        if held is None or size not in (0, held):
            return False
        self._rows.add(namespace, digest, held, {}, lease, None)
        return True

    def publish(self, ingest: Ingest, digest: str, labels: dict[str, str]) -> None:
        place = self.path(digest)
        ours = not place.exists()
        if ours:
            ingest.path.rename(place)
        try:
            self._rows.add(ingest.row.namespace, digest, ingest.offset, labels, ingest.lease, ingest.row)
        except BaseException:
            if ours:
                place.rename(ingest.path)
            raise
        if not ours:
            ingest.path.unlink()

    def claim(self, namespace: str, digest: str, lease: str) -> bool:
        """Whether a blob is visible here already; if it is, the lease that wanted to write it holds it."""
        if not self._rows.has(namespace, digest):
            return False
        self._rows.hold(namespace, lease, digest)
        return True

    def abandon(self, ingest: Ingest) -> None:
        ingest.close()
        self._remove(ingest.row)

    def abort(self, namespace: str, ref: str) -> None:
        """Forget an ingest that nobody writes."""
        row = self._rows.ingest(namespace, ref)
        if (namespace, ref) in self._writing:
            raise errdefs.Unavailable(f"ref {ref} locked: a writer has it open: unavailable")
        self._remove(row)

    def _remove(self, row: IngestRow) -> None:
        self._rows.end_ingest(row)
        self._path(row).unlink(missing_ok=True)

    def status(self, namespace: str, ref: str) -> Status:
        return self._status(self._rows.ingest(namespace, ref))

    def statuses(self, namespace: str, wanted: Sequence[str]) -> list[Status]:
        found = map(self._status, self._rows.ingests(namespace))
        return filters.select(found, wanted, lambda status, path: status.ref if path == ["ref"] else None)

    def expire_ingests(self, before: int, held: set[tuple[str, str]]) -> int:
        """Forget ingests that nobody holds, whose lease is gone or that nobody touched since `before`; how many."""
        stale = [
            row for row in self._rows.ingests()
            if (row.namespace, row.ref) not in held | self._writing.keys()
            and (not row.started or self._touched(row) < before)
        ]
        for row in stale:
            self._remove(row)
        self._remove_forgotten()
        return len(stale)

    def _remove_forgotten(self) -> None:
        known = {str(row.id) for row in self._rows.ingests()} | set(map(str, self._writing.values()))
        for entry in os.scandir(self._ingests):
            if entry.name not in known:
                Path(entry.path).unlink()

    def _path(self, row: IngestRow) -> Path:
        return self._ingests / str(row.id)

    def _touched(self, row: IngestRow) -> int:
        try:
            return max(row.started, self._path(row).stat().st_mtime_ns)
        except FileNotFoundError:
            return row.started

    def _status(self, row: IngestRow) -> Status:
        path = self._path(row)
        return Status(
            ref=row.ref, total=row.total, expected=row.expected, offset=path.stat().st_size if path.exists() else 0,
            started_at=labelling.stamp(row.started), updated_at=labelling.stamp(self._touched(row)),
        )
