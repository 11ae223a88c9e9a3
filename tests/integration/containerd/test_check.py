"""`docker-containerd check`, beside the daemon and without it, on roots that are whole and on damaged ones."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.harness.check import PROGRAM, check
from tests.integration.daemon import Daemon


@pytest.fixture
def root(ours: Daemon, archive: Path) -> Path:
    """Of a daemon that has ended, with busybox unpacked."""
    ours.ok("images", "import", "--snapshotter", "overlayfs", str(archive))
    assert not check(ours.root, "--deep")["problems"]
    ours.stop()
    return ours.root


def blob(root: Path) -> Path:
    return max((root / "content/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)


def problems(root: Path, *flags: str) -> list[str]:
    return list(check(root, *flags)["problems"])


def test_whole_root_is_consistent(root: Path) -> None:
    report = check(root, "--deep")
    assert not report["problems"]
    assert not report["running"]
    assert report["blobs"] >= 3
    assert report["snapshots"]["overlayfs"] == 1


def test_people_read_lines(root: Path) -> None:
    done = subprocess.run([PROGRAM, "check", "--root", root], capture_output=True, text=True)
    assert done.returncode == 0
    assert "consistent" in done.stdout


def test_damaged_blob_is_found_by_its_digest(root: Path) -> None:
    with blob(root).open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    assert not problems(root)
    assert [f"content sha256:{blob(root).name}: its bytes have the digest" in line for line in problems(root, "--deep")]


def test_short_blob_is_found(root: Path) -> None:
    os.truncate(blob(root), 10)
    assert any("its file has 10 bytes" in line for line in problems(root))


def test_missing_blob_is_found(root: Path) -> None:
    name = blob(root).name
    blob(root).unlink()
    assert problems(root) == [f"content sha256:{name}: its file is missing"]


def test_orphans_are_found(root: Path) -> None:
    (root / "content/blobs/sha256" / ("0" * 64)).write_bytes(b"")
    (root / "content/ingest/99").write_bytes(b"")
    (root / "overlayfs/99").mkdir()
    found = problems(root)
    assert len(found) == 3
    assert {line.split()[0] for line in found} == {"content", "ingest", "snapshot"}


def test_missing_snapshot_is_found(root: Path) -> None:
    gone = next(path for path in (root / "overlayfs").iterdir() if path.name.isdecimal())
    shutil.rmtree(gone)
    assert [f"snapshot overlayfs/{gone.name}" in line for line in problems(root)] == [True]


def test_missing_reference_is_found(root: Path) -> None:
    with sqlite3.connect(root / "meta.db") as metadata:
        metadata.execute("DELETE FROM content WHERE digest = ?", (f"sha256:{blob(root).name}",))
    metadata.close()
    found = problems(root)
    assert any(line.startswith("image ") and blob(root).name in line for line in found)


def test_root_without_metadata_cannot_be_checked(tmp_path: Path) -> None:
    done = subprocess.run([PROGRAM, "check", "--root", tmp_path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "meta.db is not there" in done.stderr
