import sqlite3
from pathlib import Path

import pytest

from protos import errdefs
from services.containerd.metadata.db import RESERVE, VERSION, Database


def test_fresh_file_gets_the_schema(tmp_path: Path) -> None:
    first = Database(tmp_path / "meta.db")
    assert first.fresh
    assert first.read("SELECT * FROM images") == []
    first.close()
    assert not Database(tmp_path / "meta.db").fresh


def test_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    db = Database(tmp_path / "meta.db")
    with pytest.raises(RuntimeError), db.write() as execute:
        execute("INSERT INTO namespaces (name) VALUES ('a')")
        raise RuntimeError
    assert db.read("SELECT * FROM namespaces") == []


def test_namespace_of_a_rolled_back_transaction_is_made_again(tmp_path: Path) -> None:
    db = Database(tmp_path / "meta.db")
    with pytest.raises(RuntimeError), db.write():
        db.ensure_namespace("a")
        raise RuntimeError
    with db.write():
        db.ensure_namespace("a")
    assert db.read("SELECT name FROM namespaces") == [("a",)]


def test_committed_rows_are_in_the_file_after_a_checkpoint(tmp_path: Path) -> None:
    db = Database(tmp_path / "meta.db")
    with db.write() as execute:
        execute("INSERT INTO namespaces (name) VALUES ('a')")
    assert db.changed.is_set()
    db.checkpoint()
    (tmp_path / "copy").write_bytes((tmp_path / "meta.db").read_bytes())
    assert sqlite3.connect(tmp_path / "copy").execute("SELECT name FROM namespaces").fetchall() == [("a",)]


def test_committed_rows_are_seen_by_others(tmp_path: Path) -> None:
    db = Database(tmp_path / "meta.db")
    with db.write() as execute:
        execute("INSERT INTO namespaces (name) VALUES ('a')")
    assert sqlite3.connect(tmp_path / "meta.db").execute("SELECT name FROM namespaces").fetchall() == [("a",)]


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    Database(tmp_path / "meta.db").close()
    with sqlite3.connect(tmp_path / "meta.db") as other:
        other.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(errdefs.FailedPrecondition, match="newer release"):
        Database(tmp_path / "meta.db")


def test_corrupt_file_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "meta.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(errdefs.DataLoss, match=r"meta\.db"):
        Database(tmp_path / "meta.db")


def test_full_disk_is_no_surprise(tmp_path: Path) -> None:
    db = Database(tmp_path / "meta.db")
    pages = db.read("PRAGMA page_count")[0][0]
    db.read(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(errdefs.ResourceExhausted, match="cannot be written"), db.write() as execute:
        execute("INSERT INTO namespaces VALUES ('a', ?)", ("x" * 100_000,))
    with db.write() as execute:
        execute("INSERT INTO namespaces (name) VALUES ('b')")
    assert db.read("SELECT name FROM namespaces") == [("b",)]


def test_space_is_set_aside_and_given_up(tmp_path: Path) -> None:
    db = Database(tmp_path / "meta.db")
    db.checkpoint()
    reserve = tmp_path / "meta.reserve"
    assert reserve.stat().st_blocks * 512 >= RESERVE
    with pytest.raises(errdefs.ResourceExhausted, match="disk is full"), db.write():
        raise sqlite3.OperationalError("database or disk is full")
    assert not reserve.exists()
    db.checkpoint()
    assert reserve.exists()
    db.close()
