"""`docker-containerd check`: whether metadata, blobs and snapshots below a root agree; the daemon may run or not.

Nothing is changed. Beside a running daemon only what is found twice counts: in between, files and rows come and go.
"""

import hashlib
import os
import sqlite3
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from protos import errdefs
from protos.containerd.services.snapshots.v1.snapshots_pb2 import ACTIVE, COMMITTED
from services.containerd import lock
from services.containerd.content.store import BLOBS, INGESTS, TRASH
from services.containerd.metadata import gc
from services.containerd.metadata import labels as labelling
from services.containerd.snapshots import directories
from services.containerd.snapshots.devicemapper.audit import audit
from services.containerd.snapshots.devicemapper.driver import DeviceMapper
from services.containerd.snapshots.directories import disk_usage, file_bytes

_AGAIN: Final = 0.5
"""Seconds from one look to the next beside a running daemon."""
_LOOKS: Final = 4
_CHUNK: Final = 1 << 20


@dataclass(slots=True)
class Report:
    """What was found: problems are lines for people; bytes are those on disk."""

    running: bool = False
    problems: list[str] = field(default_factory=list)
    blobs: int = 0
    blob_bytes: int = 0
    ingests: int = 0
    snapshots: dict[str, int] = field(default_factory=dict)
    snapshot_bytes: dict[str, int] = field(default_factory=dict)
    file_bytes: dict[str, int] = field(default_factory=dict)
    """Sizes of the files in snapshots, which is what Docker counts."""
    garbage: int = 0
    """Objects that nothing refers to, and that the next collection takes."""
    trash: int = 0
    """Files and directories that are removed, but not deleted yet."""


class Rows:
    """The metadata as it is at one moment, read only."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise errdefs.NotFound(f"{path} is not there: no docker-containerd has used this root")
        self._connection = sqlite3.connect(path, isolation_level=None)
        self.read("PRAGMA query_only = 1")
        self.read("BEGIN")

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def close(self) -> None:
        self._connection.close()


def main(argv: list[str]) -> int:
    """0 where all agrees, 1 where it does not, 2 where that cannot be found out."""
    parser = ArgumentParser("docker-containerd check", description="Find what does not agree below a data root")
    parser.add_argument("--root", default="/var/lib/docker/containerd", help="directory of persistent data")
    parser.add_argument("--deep", action="store_true", help="read each blob and compare its digest")
    parser.add_argument("--json", action="store_true", help="for programs")
    flags = parser.parse_args(argv)
    try:
        report = check(Path(flags.root).absolute(), deep=flags.deep)
    except (errdefs.EngineError, OSError, sqlite3.Error) as error:
        print(f"docker-containerd check: {error}", file=sys.stderr)
        return 2
    print(_json(report) if flags.json else "\n".join(_lines(report)))
    return 1 if report.problems else 0


def check(root: Path, *, deep: bool) -> Report:
    """Look at a root once; again where a running daemon may be the reason for what was found."""
    if not root.is_dir():
        raise errdefs.NotFound(f"{root} is no directory")
    try:
        held = lock.lock_root(root)
    except errdefs.Unavailable:
        report = _look(root, deep=deep)
        for _ in range(_LOOKS - 1):
            if not report.problems:
                break
            time.sleep(_AGAIN)
            again = _look(root, deep=deep)
            again.problems = [line for line in again.problems if line in report.problems]
            report = again
        report.running = True
        return report
    try:
        return _look(root, deep=deep)
    finally:
        os.close(held)


def _look(root: Path, *, deep: bool) -> Report:
    report = Report()
    rows = Rows(root / "meta.db")
    try:
        report.problems += _metadata(rows)
        report.problems += _content(root / "content", rows, report, deep=deep)
        report.problems += _snapshots(root, rows, report)
        report.problems += _references(rows)
        found = gc.find(rows, datetime.now(UTC))
        report.garbage = len(found.content) + len(found.snapshots) + len(found.leases)
    finally:
        rows.close()
    return report


def _metadata(rows: Rows) -> Iterator[str]:
    for (text,) in rows.read("PRAGMA integrity_check"):
        if text != "ok":
            yield f"metadata: {text}"
    for table, number, other, _ in rows.read("PRAGMA foreign_key_check"):
        yield f"metadata: row {number} of {table} refers to nothing in {other}"


def _content(root: Path, rows: Rows, report: Report, *, deep: bool) -> Iterator[str]:
    sizes = dict(rows.read("SELECT digest, size FROM content"))
    for digest, size in sizes.items():
        try:
            facts = (root / BLOBS / digest.removeprefix("sha256:")).stat()
        except FileNotFoundError:
            yield f"content {digest}: its file is missing"
            continue
        report.blobs += 1
        report.blob_bytes += facts.st_blocks * 512
        if facts.st_size != size:
            yield f"content {digest}: its file has {facts.st_size} bytes, the metadata says {size}"
        elif deep and (found := _digest(root / BLOBS / digest.removeprefix("sha256:"))) != digest:
            yield f"content {digest}: its bytes have the digest {found}"
    for name in _names(root / BLOBS):
        if f"sha256:{name}" not in sizes:
            yield f"content sha256:{name}: no namespace holds the file"
    known = {str(number) for (number,) in rows.read("SELECT id FROM ingests")}
    report.ingests = len(known)
    for name in _names(root / INGESTS):
        if name not in known:
            yield f"ingest {name}: a file that nobody writes"
    report.trash += len(_names(root / TRASH))


def _digest(path: Path) -> str:
    made = hashlib.sha256()
    with path.open("rb") as blob:
        while chunk := blob.read(_CHUNK):
            made.update(chunk)
    return f"sha256:{made.hexdigest()}"


def _snapshots(root: Path, rows: Rows, report: Report) -> Iterator[str]:
    known = {(driver, str(number)): (key, kind) for number, driver, key, kind in rows.read(
        "SELECT id, driver, key, kind FROM snapshots"
    )}
    drivers = {driver for driver, _ in known} | {path.parent.name for path in root.glob(f"*/{directories.TRASH}")}
    for driver in sorted(drivers - {"content"}):
        place = root / driver
        if not (place / directories.TRASH).is_dir():
            continue  # a driver that keeps no directories
        there = {name for name in _names(place) if name.isdecimal()}
        report.snapshots[driver] = len(there)
        report.snapshot_bytes[driver] = report.file_bytes[driver] = 0
        for name in there:
            with suppress(FileNotFoundError):  # gone since the names were read
                report.snapshot_bytes[driver] += disk_usage(place / name)[0]
                report.file_bytes[driver] += file_bytes(place / name)
        report.trash += len(_names(place / directories.TRASH))
        for name in sorted(there):
            if (driver, name) not in known:
                yield f"snapshot {driver}/{name}: a directory that no snapshot owns"
        for (owner, name), (key, kind) in known.items():
            if owner == driver and kind in (ACTIVE, COMMITTED) and name not in there:
                yield f"snapshot {driver}/{name} ({key}): its directory is missing"
        if driver == DeviceMapper.name:
            keys = {int(name): key for (owner, name), (key, kind) in known.items() if owner == driver and kind}
            report.snapshot_bytes[driver], problems = audit(place, keys)
            yield from problems
    for key, parent in rows.read(
        "SELECT s.key, p.key FROM snapshots s JOIN snapshots p ON p.id = s.parent WHERE p.kind != ?", COMMITTED
    ):
        yield f"snapshot {key}: its parent {parent} is not committed"


def _references(rows: Rows) -> Iterator[str]:
    """What an image or a container needs and is not there."""
    labels: dict[gc.Node, str] = {}
    for namespace, digest, text in rows.read("SELECT namespace, digest, labels FROM content"):
        labels[gc.Node("content", namespace, digest)] = text
    for namespace, driver, key, text in rows.read("SELECT namespace, driver, key, labels FROM snapshots"):
        labels[gc.Node(f"snapshots/{driver}", namespace, key)] = text
    for namespace, name, target in rows.read("SELECT namespace, name, target FROM images"):
        for missing in _missing(gc.Node("content", namespace, target), labels):
            yield f"image {name}: {missing.kind} {missing.key} is missing"
    for namespace, key, driver, snapshot in rows.read(
        "SELECT namespace, id, snapshotter, snapshot_key FROM containers WHERE snapshot_key != ''"
    ):
        if gc.Node(f"snapshots/{driver}", namespace, snapshot) not in labels:
            yield f"container {key}: snapshot {snapshot} of {driver} is missing"


def _missing(first: gc.Node, labels: dict[gc.Node, str]) -> Iterator[gc.Node]:
    pending, seen = [first], {first}
    while pending:
        node = pending.pop()
        if node not in labels:
            yield node
        elif "containerd.io/gc." in labels[node]:
            found = set(gc.references(node.namespace, labelling.decode(labels[node]))) - seen
            seen |= found
            pending += found


def _names(directory: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(directory)]
    except FileNotFoundError:
        return []


def _json(report: Report) -> str:
    import json  # only for programs

    return json.dumps(asdict(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"blobs        {report.blobs}, {report.blob_bytes / 1e6:.1f} MB"
    yield f"ingests      {report.ingests}"
    for driver, count in report.snapshots.items():
        yield f"snapshots    {count} of {driver}, {report.snapshot_bytes[driver] / 1e6:.1f} MB"
    yield f"garbage      {report.garbage} objects, for the next collection"
    yield f"trash        {report.trash} files and directories, being deleted or for the next start"
    repeated = Counter(report.problems)
    yield f"{len(repeated)} problems" if repeated else "consistent"
    yield from (f"  {line}" for line in repeated)
