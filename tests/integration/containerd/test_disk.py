"""A full disk, and file systems on which overlayfs does not work."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.images import oci_layout, pack
from tests.integration.daemon import CTR, Daemon

BUSYBOX = "docker.io/library/busybox:latest"


@pytest.fixture
def small() -> Iterator[Daemon]:
    """A daemon whose root is a file system of 8 MiB."""
    if CTR is None:
        pytest.skip("ctr is missing: apt-get install containerd")
    daemon = Daemon()
    daemon.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", daemon.root], check=True)
    try:
        with daemon:
            yield daemon
            daemon.stop()
            subprocess.run(["umount", daemon.root], check=True)
    except BaseException:
        subprocess.run(["umount", "-l", daemon.root], check=False)
        raise


def test_full_disk_is_told_and_survived(small: Daemon, archive: Path) -> None:
    small.ok("images", "import", str(archive))
    (small.root / "filler").write_bytes(b"")
    filler = (small.root / "filler").open("wb", buffering=0)
    try:
        while True:
            filler.write(bytes(4096))
    except OSError:
        filler.close()
    said = small.fails("content", "ingest", "r", stdin=bytes(1 << 20))
    assert "no space left on device" in said
    assert small.ok("images", "ls", "-q").split() == [BUSYBOX]
    (small.root / "filler").unlink()
    small.ok("containers", "create", BUSYBOX, "c2")
    small.ok("containers", "rm", "c2")
    assert [row[0] for row in small.rows("containers", "ls")] == []
    small.restart()
    assert small.ok("images", "check", f"name=={BUSYBOX}")


def test_image_too_large_leaves_nothing_behind(small: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "large.tar"
    path.write_bytes(oci_layout("large:latest", {}, pack({"zeros": bytes(20 << 20)})))
    said = small.fails("images", "import", str(path))
    assert "no space left" in said
    small.ctr("images", "rm", "--sync", "docker.io/library/large:latest")
    assert [row for row in small.rows("snapshots", "ls") if row[0].startswith("extract-")] == []


def test_without_overlayfs_native_is_all_there_is(ours: Daemon, archive: Path) -> None:
    ours.stop()
    layers = {name: ours.home / name for name in ("low", "up", "work")}
    for path in layers.values():
        path.mkdir()
    options = "lowerdir={low},upperdir={up},workdir={work}".format(**layers)
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, ours.root], check=True)
    try:
        assert ours.start() == "ready"
        rows = {row[1]: row[-1] for row in ours.rows("plugins", "ls", "type==io.containerd.snapshotter.v1")}
        assert {name for name, state in rows.items() if state == "ok"} == {"native"}
        assert rows["overlayfs"] == rows["overlay"] == rows["btrfs"] == "skip"
        ours.ok("images", "import", "--snapshotter", "native", str(archive))
        ours.stop()
    finally:
        subprocess.run(["umount", "-l", ours.root], check=True)
