"""A layer that is written by one thread and hashed by another."""

import errno
import os
from pathlib import Path

import pytest

from protos import errdefs
from services.containerd.content.spool import Spool
from tests.unit.containerd.content.test_store import Content, digest, run

LARGE = os.urandom(3 << 20)


def file(path: Path, data: bytes) -> int:
    path.write_bytes(data)
    return os.open(path, os.O_RDONLY)


async def spooled(content: Content, source: int, *, size: int) -> str:
    ingest = await content.writer()
    with Spool(ingest) as spool:
        spool.write(b"head")
        left = size
        while left and (copied := spool.copy(source, left)):
            left -= copied
        spool.write(b"tail")
    return await ingest.commit(size + 8, "", {})


@pytest.mark.parametrize("copies", [True, False])
def test_bytes_and_files_are_hashed_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: bool) -> None:
    if not copies:
        def unable(*args: object, **more: object) -> int:
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(os, "copy_file_range", unable)
    source = file(tmp_path / "source", LARGE)
    try:
        found = run(spooled(Content(tmp_path), source, size=len(LARGE)))
    finally:
        os.close(source)
    assert found == digest(b"head" + LARGE + b"tail")


def test_failed_hash_is_raised(tmp_path: Path) -> None:
    async def shrinks() -> None:
        ingest = await Content(tmp_path).writer()
        with Spool(ingest) as spool:
            spool.write(b"head")
            os.ftruncate(ingest.file, 0)
            ingest.restart()
            spool._ends.put(100)

    with pytest.raises(errdefs.OutOfRange):
        run(shrinks())
