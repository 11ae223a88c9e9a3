import gzip
import hashlib
import os
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from protos import errdefs
from services.containerd.diff import stream
from services.containerd.diff.stream import LayerStream

PLAIN = os.urandom(3 << 20) + bytes(5 << 20)


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Blob:
    def __init__(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        self.file = os.open(path, os.O_RDONLY)
        self.stream = LayerStream(self.file, len(data), digest(data))

    def close(self) -> None:
        self.stream.close()
        os.close(self.file)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress, zstandard.compress])
def test_digest_and_size_are_of_the_plain_layer(tmp_path: Path, pack: object) -> None:
    blob = Blob(tmp_path / "blob", pack(PLAIN))
    assert b"".join(blob.stream) == PLAIN
    blob.close()
    assert (blob.stream.digest, blob.stream.size) == (digest(PLAIN), len(PLAIN))


def test_reader_may_stop_early(tmp_path: Path) -> None:
    blob = Blob(tmp_path / "blob", gzip.compress(PLAIN * 4))
    assert next(iter(blob.stream))
    blob.close()


def test_damage_is_told(tmp_path: Path) -> None:
    blob = Blob(tmp_path / "blob", gzip.compress(PLAIN)[:-100])
    with pytest.raises(errdefs.InvalidArgument, match="decompressed"):
        list(blob.stream)
    blob.close()


def test_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "FREE_SIZE", 1 << 20)
    blob = Blob(tmp_path / "blob", zstandard.compress(bytes(64 << 20)))
    with pytest.raises(errdefs.ResourceExhausted, match="bomb"):
        list(blob.stream)
    blob.close()


def test_gzip_of_zeros_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "FREE_SIZE", 1 << 20)
    blob = Blob(tmp_path / "blob", gzip.compress(bytes(16 << 20)))
    assert sum(map(len, blob.stream)) == 16 << 20
    blob.close()


@pytest.mark.parametrize(("pack", "copied"), [(lambda data: data, True), (gzip.compress, False)])
def test_kernel_copies_what_is_not_compressed(tmp_path: Path, pack: object, copied: bool) -> None:
    blob = Blob(tmp_path / "blob", pack(PLAIN))
    target = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    first = next(iter(blob.stream))
    moved = blob.stream.copy(target, 100_000)
    assert moved == (100_000 if copied else 0)
    assert os.pread(target, 100_000, 0) == PLAIN[len(first) :][:moved]
    blob.close()
    os.close(target)


def test_plain_layer_is_not_held(tmp_path: Path) -> None:
    blob = Blob(tmp_path / "blob", bytes(64 << 20))
    tracemalloc.start()
    assert sum(map(len, blob.stream)) == 64 << 20
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    blob.close()
    assert peak < 4 * stream.CHUNK
