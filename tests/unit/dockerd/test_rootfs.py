import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.dockerd import beneath, rootfs, skeleton
from services.dockerd.volumes.mountpoint import MountPoint

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory on a file system that overlayfs takes as its upper layer."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        yield Path(made)


@pytest.fixture
def overlay(base: Path) -> list[Mount]:
    for name in ("low", "middle", "upper", "work", "volume"):
        (base / name).mkdir()
    (base / "low/file").write_text("low")
    (base / "volume/inside").write_text("volume")
    options = [f"lowerdir={base}/middle:{base}/low", f"upperdir={base}/upper", f"workdir={base}/work"]
    return [Mount(type="overlay", source="overlay", options=options)]


def mounts_below(base: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(base) in line]


def test_overlay_needs_no_namespace(base: Path, overlay: list[Mount]) -> None:
    with beneath.closing(rootfs.detached(overlay)) as root:
        assert beneath.read(root, "/file", 100) == b"low"
        os.close(beneath.open_in(root, "/new", os.O_CREAT | os.O_WRONLY, 0o600))
        assert not mounts_below(base)
    assert (base / "upper/new").exists()


def test_readonly_leaves_the_layer_alone(base: Path, overlay: list[Mount]) -> None:
    (base / "upper/own").write_text("upper")
    for name in base.glob("work/*"):
        name.rmdir()
    with beneath.closing(rootfs.detached(rootfs.readonly(overlay))) as root:
        assert beneath.read(root, "/own", 100) == b"upper" and beneath.read(root, "/file", 100) == b"low"
        with pytest.raises(OSError, match="Read-only"):
            beneath.open_in(root, "/new", os.O_CREAT | os.O_WRONLY, 0o600)
    assert not list((base / "work").iterdir())


def test_bind_may_be_read_only(base: Path, overlay: list[Mount]) -> None:
    mount = Mount(type="bind", source=str(base / "low"), options=["rbind", "ro"])
    with beneath.closing(rootfs.detached([mount])) as root, pytest.raises(OSError, match="Read-only"):
        beneath.open_in(root, "/file", os.O_WRONLY)


def test_volumes_lie_on_top(base: Path, overlay: list[Mount]) -> None:
    points = [
        MountPoint("volume", "/data/deep", str(base / "volume")),
        MountPoint("bind", "/etc/hosts", str(base / "volume/inside"), rw=False),
        MountPoint("bind", "/gone", str(base / "missing")),
    ]
    with beneath.closing(rootfs.detached(overlay, points)) as root:
        assert beneath.read(root, "/data/deep/inside", 100) == b"volume"
        assert beneath.read(root, "/file", 100) == b"low"
        with pytest.raises(OSError, match="Read-only"):
            beneath.open_in(root, "/etc/hosts", os.O_WRONLY)
        assert not mounts_below(base)
    assert (base / "upper/data/deep").is_dir()


def test_volume_target_link_stays_inside(base: Path, overlay: list[Mount]) -> None:
    (base / "low/escape").symlink_to("../../../../../../tmp")
    points = [MountPoint("volume", "/escape/rootfs-test", str(base / "volume"))]
    with beneath.closing(rootfs.detached(overlay, points)) as root:
        assert beneath.read(root, "/tmp/rootfs-test/inside", 100) == b"volume"
    assert not Path("/tmp/rootfs-test").exists()


def test_many_layers_fit(base: Path, overlay: list[Mount]) -> None:
    layers = [base / f"layer-with-a-rather-long-name-{number:03}" for number in range(80)]
    for layer in layers:
        layer.mkdir()
        (layer / layer.name).touch()
    lower = ":".join(map(str, layers))
    mount = Mount(type="overlay", source="overlay", options=[f"lowerdir={lower}"])
    for made in (rootfs.detached([mount]), rootfs._in_namespace(lambda: rootfs._assemble([mount, mount][:1], []))):
        with beneath.closing(made) as root:
            assert beneath.read(root, layers[-1].name, 10) == b""


def test_old_kernels_mount_by_path(base: Path, overlay: list[Mount]) -> None:
    layers = [base / f"layer-with-a-rather-long-name-{number:03}" for number in range(80)]
    for layer in layers:
        layer.mkdir()
        (layer / layer.name).touch()
    mount = Mount(type="overlay", source="overlay", options=["lowerdir=" + ":".join(map(str, layers))])

    def work() -> int:
        rootfs._mount_by_path(mount)
        return os.open(rootfs._BASE, os.O_RDONLY | os.O_DIRECTORY)

    here = Path.cwd()
    with beneath.closing(rootfs._in_namespace(work)) as root:
        assert layers[-1].name in os.listdir(root)  # noqa: PTH208
    assert Path.cwd() == here


def test_dead_process_is_not_found() -> None:
    done = subprocess.Popen(["true"])
    done.wait()
    with pytest.raises(errdefs.NotFound):
        rootfs.running(done.pid)


def test_number_of_another_is_not_found() -> None:
    with pytest.raises(errdefs.NotFound):
        rootfs.running(os.getpid(), "ab" * 32)


def test_skeleton_replaces_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "dev").symlink_to(outside)
    (root / "proc").symlink_to("/etc")
    (root / "etc/hosts").symlink_to(outside / "hosts")
    (root / "etc/resolv.conf").write_text("kept")
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    with beneath.closing(fd):
        skeleton.fill(fd)
        skeleton.fill(fd)
    assert not list(outside.iterdir())
    assert (root / "dev/pts").is_dir() and not (root / "dev").is_symlink() and not (root / "proc").is_symlink()
    assert (root / "etc/hosts").read_text() == "" and (root / "etc/resolv.conf").read_text() == "kept"
    assert (root / ".dockerenv").exists() and (root / "etc/mtab").readlink() == Path("/proc/mounts")


def test_bare_root_has_no_mounts(tmp_path: Path) -> None:
    script = f"mount -t tmpfs x {tmp_path} && touch {tmp_path}/inside && echo ready && sleep 60"
    with subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            with beneath.closing(rootfs.running(process.pid)) as whole:
                assert beneath.read(whole, f"{tmp_path}/inside", 10) == b""
            with beneath.closing(rootfs.bare(process.pid)) as bare:
                assert beneath.read(bare, f"{tmp_path}/inside", 10) is None
                with pytest.raises(OSError, match="Read-only"):
                    beneath.open_in(bare, "/new", os.O_CREAT | os.O_WRONLY, 0o600)
        finally:
            process.kill()


def test_readonly_takes_the_branch_of_aufs_as_another_layer() -> None:
    mounts = [Mount(type="aufs", source="none", options=["br:/3/diff=rw:/2/diff=ro+wh", "dio"])]
    (shown,) = rootfs.readonly(mounts)
    assert list(shown.options) == ["br:/3/diff=ro+wh:/2/diff=ro+wh", "dio", "ro"]
