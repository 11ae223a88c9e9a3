"""The storage driver devicemapper on a pool that somebody else made, with udev running: a whole engine's life."""

import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.containerd.snapshots.devicemapper.mapper import ready
from tests.harness.check import check, settled
from tests.harness.engine import Engine, busybox
from tests.harness.wait import until
from tests.lab.inside.test_devicemapper import loop_device, none_left, said

POOL = "given"
FLAGS = (
    "--storage-driver", "devicemapper", "--storage-opt", f"dm.thinpooldev=/dev/mapper/{POOL}",
    "--storage-opt", "dm.use_deferred_removal=true", "--storage-opt", "dm.use_deferred_deletion=true",
)  # fmt: skip
BASE = ("--storage-opt", "dm.basesize=128m", "--storage-opt", "dm.fs=ext4", "--storage-opt", "dm.mkfsarg=-N 4096",
        "--storage-opt", "dm.mountopt=noatime")


@pytest.fixture(scope="module")
def udev() -> Iterator[None]:
    """Debian's, with the rules that dmsetup brings: it hears of every device that comes and goes."""
    assert Path("/lib/udev/rules.d/55-dm.rules").exists()
    daemon = subprocess.Popen(["/lib/systemd/systemd-udevd"])
    until(Path("/run/udev/control").exists, "udev listens")
    yield
    subprocess.run(["udevadm", "settle"], check=True)
    daemon.terminate()
    daemon.wait(20)


@pytest.fixture
def pool(udev: None, tmp_path: Path) -> Iterator[str]:
    assert ready() == ""
    with loop_device(tmp_path / "d", 1 << 30) as data, loop_device(tmp_path / "m", 16 << 20) as metadata:
        said("dmsetup", "create", POOL, "--table", f"0 {(1 << 30) // 512} thin-pool {metadata} {data} 128 0")
        yield POOL
        said("dmsetup", "remove", "--retry", POOL)
    until(none_left, "the devices go")


def rows(engine: Engine) -> dict[str, str]:
    return dict(engine.api.get("/info")["DriverStatus"])


def used(engine: Engine) -> int:
    """Blocks of the pool that are given out."""
    return int(said("dmsetup", "status", POOL).split()[5].partition("/")[0])


@pytest.mark.limit(400)
def test_engine_lives_on_a_given_pool(pool: str, fresh: Callable[..., Engine], name: str, tmp_path: Path) -> None:
    engine = fresh(*FLAGS, *BASE)
    docker = engine.docker
    found = rows(engine)
    assert list(found) == [
        "Pool Name", "Pool Blocksize", "Base Device Size", "Backing Filesystem", "Udev Sync Supported",
        "Data Space Used", "Data Space Total", "Data Space Available", "Metadata Space Used", "Metadata Space Total",
        "Metadata Space Available", "Thin Pool Minimum Free Space", "Deferred Removal Enabled",
        "Deferred Deletion Enabled", "Deferred Deleted Device Count", "Library Version",
    ]  # fmt: skip
    told = (found["Pool Name"], found["Pool Blocksize"], found["Deferred Removal Enabled"], found["Data Space Total"])
    assert told == (POOL, "65.54kB", "true", "1.074GB")
    assert "loopback" not in docker("info").err

    script = "echo kept >/f; rm /bin/vi; head -c 3000000 /dev/urandom >/big; exec sleep 1000"
    docker.ok("run", "-d", "--name", name, "busybox", "sh", "-c", script)
    until(lambda: docker("exec", name, "stat", "-c", "%s", "/big").out == "3000000\n", "it has written")
    mount = docker.ok("exec", name, "grep", " / ", "/proc/mounts").split()
    assert (mount[2], "noatime" in mount[3].split(",")) == ("ext4", True)
    assert int(docker.ok("exec", name, "stat", "-fc", "%c", "/")) == 4096
    data = json.loads(docker.ok("inspect", "-f", "{{json .GraphDriver.Data}}", name))
    assert mount[0] == f"/dev/mapper/{data['DeviceName']}"
    assert said("dmsetup", "table", data["DeviceName"]).split()[-1] == data["DeviceId"]
    assert data["DeviceSize"] == str(128 << 20)
    assert set(json.loads(docker.ok("image", "inspect", "-f", "{{json .GraphDriver.Data}}", "busybox"))) == set(data)
    assert docker.ok("image", "inspect", "-f", "{{.GraphDriver.Name}}", "busybox") == "devicemapper"

    assert set(docker.ok("diff", name).splitlines()) == {"C /bin", "D /bin/vi", "A /f", "A /big"}
    size = json.loads(docker.ok("inspect", "-s", "-f", "{{.SizeRw}}", name))
    assert 3_000_000 <= size < 3_200_000
    (tmp_path / "in").write_text("data")
    docker.ok("cp", str(tmp_path / "in"), f"{name}:/etc/in")
    docker.ok("cp", f"{name}:/etc/in", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "data"
    exported = subprocess.run(
        ["docker", "-H", f"unix://{engine.socket}", "export", name], check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        assert {"f", "etc/in"} <= set(tar.getnames())
        assert "bin/vi" not in tar.getnames()

    docker.ok("commit", name, "made")
    assert docker.ok("run", "--rm", "made", "cat", "/f") == "kept"
    assert check(engine.data / "containerd")["problems"] == []
    engine.kill(engine.containerd())
    engine.kill()
    engine.start()
    assert docker.ok("exec", name, "cat", "/f") == "kept"
    docker.ok("restart", "-t", "0", name)
    assert docker.ok("exec", name, "cat", "/f") == "kept"
    df = engine.api("GET", "/system/df").json
    assert {each["RepoTags"][0]: each["Containers"] for each in df["Images"]} == {"busybox:latest": 1, "made:latest": 0}

    engine.restart()  # what the pool was made with need not be said again
    docker.ok("start", name)
    assert docker.ok("exec", name, "cat", "/f") == "kept"
    before = used(engine)
    docker.ok("rm", "-f", name)
    docker.ok("rmi", "made")
    report = settled(engine)
    assert used(engine) < before
    assert report["snapshot_bytes"]["devmapper"] == used(engine) * 65536
    engine.stop()
    assert not engine.remains()
    assert check(engine.data / "containerd")["problems"] == []
    assert said("dmsetup", "ls").split()[0] == POOL
    assert len(said("dmsetup", "ls").splitlines()) == 1
    assert [path.name for path in Path("/dev/mapper").iterdir() if path.name.startswith("docker-")] == []


def test_device_in_use_goes_with_its_last_user(pool: str, fresh: Callable[..., Engine], name: str) -> None:
    """Its snapshot is removed while a process outside has it mounted."""
    engine = fresh(*FLAGS, *BASE)
    docker = engine.docker
    docker.ok("create", "--name", name, "busybox", "true")
    data = json.loads(docker.ok("inspect", "-f", "{{json .GraphDriver.Data}}", name))
    place = engine.root / "held"
    place.mkdir()
    docker.ok("start", "-a", name)
    said("mount", f"/dev/mapper/{data['DeviceName']}", str(place))
    docker.ok("rm", name)
    until(lambda: rows(engine)["Deferred Deleted Device Count"] == "1", "it waits")
    assert (place / "bin/busybox").exists()
    assert check(engine.data / "containerd")["problems"] == []
    said("umount", str(place))
    docker.ok("run", "--rm", "busybox", "true")
    until(lambda: rows(engine)["Deferred Deleted Device Count"] == "0", "it goes")
    engine.stop()


def test_space_is_kept_free(pool: str, fresh: Callable[..., Engine]) -> None:
    engine = fresh(*FLAGS, *BASE, "--storage-opt", "dm.min_free_space=99%", start=False)
    engine.start()
    told = engine.docker.fails("load", "-q", "-i", str(busybox()))
    assert "Thin Pool has " in told and "blocks which is less than minimum required" in told
    assert "use dm.min_free_space option to change behavior" in told
    engine.stop()


def test_damaged_pool_is_told(pool: str, fresh: Callable[..., Engine], name: str) -> None:
    engine = fresh(*FLAGS, *BASE)
    engine.docker.ok("create", "--name", name, "busybox", "true")
    data = json.loads(engine.docker.ok("inspect", "-f", "{{json .GraphDriver.Data}}", name))
    engine.stop()
    said("dmsetup", "message", POOL, "0", f"delete {data['DeviceId']}")
    said("dmsetup", "message", POOL, "0", "create_thin 4711")
    problems = check(engine.data / "containerd")["problems"]
    assert "thin pool: device 4711 belongs to no snapshot" in problems
    assert [line for line in problems if f"device {data['DeviceId']} is not in the pool" in line]
