"""The storage driver devicemapper on a real device-mapper: the snapshotter suite, pools, a whole engine."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from protos import errdefs
from services.containerd.diff.mounted import mounted
from services.containerd.snapshots.devicemapper import records
from services.containerd.snapshots.devicemapper.driver import DeviceMapper
from services.containerd.snapshots.devicemapper.mapper import ready
from tests.contract.snapshots import Fixture, SnapshotterSuite
from tests.harness.engine import Engine
from tests.harness.wait import until

SMALL = {"dm.loopdatasize": "3g", "dm.loopmetadatasize": "64m", "dm.min_free_space": "1%"}
EXT4 = {**SMALL, "dm.basesize": "128m", "dm.fs": "ext4"}
XFS = {**SMALL, "dm.basesize": "320m", "dm.fs": "xfs"}


@pytest.fixture(autouse=True, scope="module")
def modules() -> None:
    assert ready() == ""


def said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def none_left() -> bool:
    """Neither devices of device-mapper nor loop devices."""
    return said("dmsetup", "ls") == "No devices found" and said("losetup", "-a") == ""


@contextmanager
def loop_device(file: Path, size: int) -> Iterator[str]:
    with file.open("w") as image:
        image.truncate(size)
    device = said("losetup", "-f", "--show", str(file))
    yield device
    said("losetup", "-d", device)


def megabytes(driver: DeviceMapper, number: int) -> int:
    with mounted(driver.mounts(number, [], writable=True), driver.root / "mounts") as root:
        facts = os.statvfs(root)
        return facts.f_blocks * facts.f_frsize >> 20


class _Suite(SnapshotterSuite):
    @pytest.fixture
    def on(self, tmp_path: Path) -> Iterator[Fixture]:
        fixture = Fixture(tmp_path, self.driver)
        yield fixture
        fixture.db.close()
        DeviceMapper.close(fixture.snapshotter.driver)  # type: ignore[arg-type]
        assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(tmp_path) in line]
        assert said("dmsetup", "ls") == "No devices found"
        until(none_left, "the loop devices go")
        shutil.rmtree(tmp_path)  # the machine's memory is the disk


class TestExt4(_Suite):
    @staticmethod
    def driver(root: Path) -> DeviceMapper:  # type: ignore[override]
        return DeviceMapper(root, EXT4)


class TestXfs(_Suite):
    @staticmethod
    def driver(root: Path) -> DeviceMapper:  # type: ignore[override]
        return DeviceMapper(root, XFS)


def test_pool_is_made_on_given_devices(tmp_path: Path) -> None:
    with loop_device(tmp_path / "d", 1 << 30) as data, loop_device(tmp_path / "m", 64 << 20) as metadata:
        options = {**EXT4, "dm.datadev": data, "dm.metadatadev": metadata, "dm.blocksize": "128k"}
        driver = DeviceMapper(tmp_path / "driver", options)
        driver.open(set())
        found = dict(driver.status())
        driver.close()
        assert (found["Data file"], found["Metadata file"], found["Pool Blocksize"]) == (data, metadata, "131.1kB")
        assert "Data loop file" in found
        DeviceMapper(tmp_path / "driver", {}).open(set())
        assert said("dmsetup", "ls").count("-pool") == 1
        driver.close()
    until(none_left, "the loop devices go")


def test_used_pool_is_refused(tmp_path: Path) -> None:
    first = DeviceMapper(tmp_path / "first", EXT4)
    first.open(set())
    pool = dict(first.status())["Pool Name"]
    with pytest.raises(errdefs.FailedPrecondition, match="already has used data blocks"):
        DeviceMapper(tmp_path / "second", {"dm.thinpooldev": f"/dev/mapper/{pool}"}).open(set())
    with pytest.raises(errdefs.FailedPrecondition, match="does not exist"):
        DeviceMapper(tmp_path / "third", {"dm.thinpooldev": "missing"}).open(set())
    first.close()


def test_base_grows(tmp_path: Path) -> None:
    driver = DeviceMapper(tmp_path / "driver", EXT4)
    driver.open(set())
    driver.close()
    larger = DeviceMapper(tmp_path / "driver", {**EXT4, "dm.basesize": "256m"})
    larger.open(set())
    larger.make(1, [], writable=True)
    assert megabytes(larger, 1) > 200
    larger.close()


def test_growth_cut_short_goes_on(tmp_path: Path) -> None:
    driver = DeviceMapper(tmp_path / "driver", EXT4)
    driver.open(set())
    driver.close()
    found = records.read_pool(driver.root)
    assert found
    records.write_pool(driver.root, replace(found, base=replace(found.base, size=256 << 20), growing=True))
    again = DeviceMapper(tmp_path / "driver")
    again.open(set())
    again.make(1, [], writable=True)
    assert megabytes(again, 1) > 200
    again.close()


@pytest.mark.limit(400)
@pytest.mark.parametrize("options", [EXT4, XFS], ids=lambda options: options["dm.fs"])
def test_engine_runs_on_it(fresh: Callable[..., Engine], name: str, options: dict[str, str]) -> None:
    flags = [word for key, value in options.items() for word in ("--storage-opt", f"{key}={value}")]
    engine = fresh("--storage-driver", "devicemapper", *flags)
    docker = engine.docker
    rows = dict(engine.api.get("/info")["DriverStatus"])
    size = {"128m": "134.2MB", "320m": "335.5MB"}[options["dm.basesize"]]
    assert (rows["Backing Filesystem"], rows["Base Device Size"]) == (options["dm.fs"], size)
    assert rows["Data loop file"].startswith(str(engine.data))
    assert "usage of loopback devices is strongly discouraged" in docker("info").err
    docker.ok("run", "-d", "--name", name, "busybox", "sh", "-c", "echo kept >/f; rm /bin/vi; exec sleep 1000")
    assert docker.ok("exec", name, "grep", " / ", "/proc/mounts").startswith("/dev/mapper/docker-")
    assert "A /f" in docker.ok("diff", name).splitlines()
    assert "DeviceName" in docker.ok("inspect", "-f", "{{json .GraphDriver.Data}}", name)
    docker.ok("commit", name, "made")
    assert docker.ok("run", "--rm", "made", "cat", "/f") == "kept"
    assert docker("run", "--rm", "made", "ls", "/bin/vi").code
    docker.ok("cp", f"{name}:/f", "-")
    engine.kill(engine.containerd())
    engine.kill()
    engine.start("--storage-opt", "dm.loopdatasize=4g")  # the pool is in use, and grows all the same
    assert docker.ok("exec", name, "cat", "/f") == "kept"
    assert dict(engine.api.get("/info")["DriverStatus"])["Data Space Total"] == "4.295GB"
    docker.ok("restart", "-t", "0", name)
    assert docker.ok("exec", name, "cat", "/f") == "kept"
    limited = docker.ok("run", "--rm", "--storage-opt", "size=400m", "busybox", "stat", "-fc", "%b %S", "/")
    blocks, block = map(int, limited.split())
    assert blocks * block > 320 << 20  # more than the base of either; xfs keeps 64 MB for its log
    docker.ok("rm", "-f", name)
    docker.ok("rmi", "made")
    engine.stop()
    assert not engine.remains()
    until(none_left, "devices and loop devices go")
