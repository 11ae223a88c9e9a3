"""The metadata file: SQLite in WAL mode, one connection, used by the event loop's thread alone.

Calls take microseconds, so they are not awaited; a transaction never spans an await and never syncs. A commit survives
any death of this process. A checkpoint, in a thread, makes all commits before it survive a power cut too.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from protos import errdefs

MIGRATIONS: Final[Sequence[str]] = ()
"""Scripts that lead from schema version N+1 to N+2, in order; schema.sql is always the newest."""
RESERVE: Final = 2 << 20
"""Bytes of the disk that are there for removals when it is full."""
VERSION: Final = 1 + len(MIGRATIONS)


class Database:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._reserve = path.with_suffix(".reserve")
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        self._known_namespaces: set[str] = set()
        self.changed = asyncio.Event()
        """Set by each commit; whoever makes the checkpoints clears it."""
        try:
            self._open(path)
        except sqlite3.DatabaseError as error:
            raise errdefs.DataLoss(
                f"{path} cannot be used: {error}; restore it, or move it and its neighbours away to begin anew"
            ) from error

    def _open(self, path: Path) -> None:
        execute = self._connection.execute
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA foreign_keys = ON")
        found = int(execute("PRAGMA user_version").fetchone()[0])
        if found > VERSION:
            raise errdefs.FailedPrecondition(f"{path} has schema {found} of a newer release; this one knows {VERSION}")
        self.fresh = found == 0
        """Whether there was no metadata before."""
        steps = [Path(__file__).with_name("schema.sql").read_text()] if self.fresh else list(MIGRATIONS[found - 1 :])
        for step in steps:
            self._connection.executescript(f"BEGIN IMMEDIATE; {step}; PRAGMA user_version = {VERSION}; COMMIT")
        execute("PRAGMA synchronous = NORMAL")
        execute("PRAGMA wal_autocheckpoint = 0")

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def read_one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
        return row

    @contextmanager
    def write(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """A transaction, giving `execute`; an exception rolls it back."""
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            yield execute
            execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            self._known_namespaces.clear()
            if isinstance(error, sqlite3.OperationalError):
                self._reserve.unlink(missing_ok=True)  # so that things can be removed
                raise errdefs.ResourceExhausted(f"metadata {self._path} cannot be written: {error}") from error
            raise
        self.changed.set()

    def checkpoint(self) -> None:
        """Move commits from the log into the file, and sync both. Blocks; for another thread, and harms nobody."""
        self.set_aside()
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            connection.close()

    def set_aside(self) -> None:
        """Keep some space, given up when a transaction finds none: to remove something takes some too."""
        if self._reserve.exists():
            return
        with self._reserve.open("wb") as reserve:
            try:
                os.posix_fallocate(reserve.fileno(), 0, RESERVE)
            except OSError:
                self._reserve.unlink(missing_ok=True)

    def ensure_namespace(self, name: str) -> None:
        """Inside a transaction: what is written first into a namespace makes it."""
        if name not in self._known_namespaces:
            self._connection.execute("INSERT OR IGNORE INTO namespaces (name) VALUES (?)", (name,))
            self._known_namespaces.add(name)

    def forget_namespace(self, name: str) -> None:
        self._known_namespaces.discard(name)

    def close(self) -> None:
        self._connection.close()
