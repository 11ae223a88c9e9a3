"""Sizes of containers by project quotas: xfs with `pquota`, which a kernel must have been built for."""

from collections.abc import Iterator

import pytest

from tests.harness import loop
from tests.harness.engine import Engine

WRITE = ("busybox", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=40")


@pytest.fixture
def on_xfs() -> Iterator[Engine]:
    """An engine, not started, with its data root on a file system of its own."""
    assert not loop.missing("xfs")
    engine = Engine()
    try:
        with loop.mounted("xfs", engine.data, options="loop,pquota"):
            yield engine
            if engine.process:
                engine.stop()
    finally:
        engine.close()


def test_what_a_file_system_lacks_is_told() -> None:
    """Old xfs does not say of what kind an entry is; without `pquota` there are no sizes."""
    engine = Engine()
    try:
        with loop.mounted("xfs-untyped", engine.data):
            for driver in ("overlay2", "overlay"):
                code, out = engine.fails_to_start("-s", driver)
                assert code == 1
                assert f"{driver}: the backing xfs filesystem is formatted without d_type support" in out
                assert "Reformat the filesystem with ftype=1 to enable d_type support" in out
            engine.start()
            assert engine.docker.ok("info", "-f", "{{.Driver}}") == "vfs"
            engine.stop()
    finally:
        engine.close()


def space(engine: Engine, *words: str) -> int:
    """Kilobytes that `df` shows in a container."""
    line = engine.docker.ok("run", "--rm", *words, "busybox", "df", "-k", "/").splitlines()[-1]
    return int(line.split()[1])


def test_containers_have_a_size(on_xfs: Engine) -> None:
    on_xfs.start("-s", "overlay2", "--storage-opt", "overlay2.size=30m")
    on_xfs.load()
    docker = on_xfs.docker
    assert "No space left" in docker.fails("run", "--name", "full", *WRITE)
    assert "No space left" in docker.fails("run", "--rm", "--storage-opt", "size=10m", *WRITE)
    docker.ok("run", "--rm", "--storage-opt", "size=60m", *WRITE)
    assert dict(on_xfs.api.get("/info")["DriverStatus"])["Backing Filesystem"] == "xfs"
    assert (space(on_xfs), space(on_xfs, "--storage-opt", "size=50m")) == (30 << 10, 50 << 10)
    docker.ok("rm", "full")
    on_xfs.restart("-s", "overlay2")
    docker.ok("run", "--rm", *WRITE)
