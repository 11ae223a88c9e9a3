import asyncio
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount as Layers
from services.dockerd.schema.container import ContainerConfig, HostConfig, Mount
from services.dockerd.volumes import copyup, mounts, parse
from services.dockerd.volumes.mounting import identity
from services.dockerd.volumes.mountpoint import MountPoint
from services.dockerd.volumes.store import Volumes


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = Volumes(tmp_path / "data/volumes", tmp_path / "run")
    made.load()
    yield made
    made.close()


def nobody(reference: str) -> Sequence[MountPoint]:
    raise errdefs.NotFound(f"No such container: {reference}")


def resolve(volumes: Volumes, host: dict[str, Any], config: dict[str, Any] | None = None) -> list[MountPoint]:
    return asyncio.run(mounts.resolve(
        volumes, "c1", ContainerConfig.model_validate(config or {}), HostConfig.model_validate(host), nobody
    ))


async def no_view(point: MountPoint) -> Sequence[Layers]:
    raise AssertionError("nobody mounts an image here")


async def attach(volumes: Volumes, points: Sequence[MountPoint]) -> list[MountPoint]:
    return await mounts.attach(volumes, "c1", points, no_view)


def test_volumes_are_made_and_referred_to(volumes: Volumes) -> None:
    points = resolve(
        volumes, {"Binds": ["named:/a", "/tmp:/b", "/c"]}, {"Volumes": {"/d": {}, "/a": {}, "/x/../c": {}}}
    )
    assert [(point.destination, point.type, point.mode) for point in points] == [
        ("/a", "volume", "z"),
        ("/b", "bind", ""),
        ("/c", "volume", "z"),
        ("/d", "volume", ""),
    ]
    assert points[0].source == str(volumes.root / "named/_data") and volumes.get("named").users == {"c1"}
    assert volumes.get(points[2].name).anonymous and volumes.get("named").labels is None
    with pytest.raises(errdefs.Conflict, match=r"volume is in use - \[c1\]"):
        asyncio.run(volumes.remove("named"))


def test_removal_takes_nameless_volumes(volumes: Volumes) -> None:
    points = resolve(volumes, {"Binds": ["named:/a", "/c"]}, {"Volumes": {"/d": {}}})
    assert mounts.release(volumes, "c1", points, anonymous=True) == []
    assert [volume.name for volume in volumes] == ["named"] and not volumes.get("named").users


def test_shared_nameless_volume_stays(volumes: Volumes) -> None:
    points = resolve(volumes, {"Binds": ["/c"]})
    volumes.refer(points[0].name, "c2")
    assert mounts.release(volumes, "c1", points, anonymous=True) == [] and points[0].name in volumes


def test_volumes_come_from_others(volumes: Volumes) -> None:
    theirs = resolve(volumes, {"Binds": ["named:/a", "/tmp:/b:ro"]})
    host = HostConfig(VolumesFrom=["other:ro"], Binds=["own:/b"])
    points = asyncio.run(mounts.resolve(volumes, "c2", ContainerConfig(), host, lambda reference: theirs))
    assert [(point.destination, point.name, point.rw, point.copy, point.mode) for point in points] == [
        ("/a", "named", False, False, ""),
        ("/b", "own", True, True, "z"),
    ]
    assert volumes.get("named").users == {"c1", "c2"}


def test_unknown_other_is_not_found(volumes: Volumes) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="No such container: ghost"):
        resolve(volumes, {"VolumesFrom": ["ghost"]})


@pytest.mark.parametrize(
    "host",
    [
        {"Binds": ["/tmp:/a", "x1:/a"]},
        {"Binds": ["/tmp:/a"], "Tmpfs": {"/a/": ""}},
        {"Binds": ["/tmp:/a"], "Mounts": [{"Type": "volume", "Target": "/a/."}]},
    ],
)
def test_one_mount_a_place(host: dict[str, Any]) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="Duplicate mount point: /a"):
        mounts.check(ContainerConfig(), HostConfig.model_validate(host))


@pytest.mark.parametrize(
    ("config", "host"),
    [
        ({"Volumes": {"/": {}}}, {}),
        ({"Volumes": {"rel": {}}}, {}),
        ({}, {"Tmpfs": {"/": ""}}),
        ({}, {"Tmpfs": {"/a": "odd"}}),
    ],
)
def test_bad_place_is_refused(config: dict[str, Any], host: dict[str, Any]) -> None:
    with pytest.raises(errdefs.InvalidArgument):
        mounts.check(ContainerConfig.model_validate(config), HostConfig.model_validate(host))


def test_failure_leaves_no_reference(volumes: Volumes) -> None:
    with pytest.raises(errdefs.InvalidArgument):
        resolve(
            volumes,
            {
                "Binds": ["named:/a"],
                "Mounts": [
                    {
                        "Type": "volume",
                        "Target": "/b",
                        "Source": "vv",
                        "VolumeOptions": {"DriverConfig": {"Name": "ghost"}},
                    }
                ],
            },
        )
    assert not volumes.get("named").users


def test_bind_of_the_root_follows_it(volumes: Volumes) -> None:
    data_root = str(volumes.root.parent)
    points = resolve(volumes, {"Binds": ["/:/a", f"{data_root}/x:/b", "/usr:/c", "/:/d:rprivate"]})
    assert [point.propagation for point in points] == ["rslave", "rslave", "rprivate", "rprivate"]


def test_missing_source_is_made_for_binds_alone(volumes: Volumes, tmp_path: Path) -> None:
    made, gone = tmp_path / "new/deep", tmp_path / "gone"
    gone.mkdir()
    points = resolve(
        volumes, {"Binds": [f"{made}:/a"], "Mounts": [{"Type": "bind", "Source": str(gone), "Target": "/b"}]}
    )
    gone.rmdir()
    asyncio.run(attach(volumes, points[:1]))
    assert made.is_dir()
    with pytest.raises(errdefs.InvalidArgument, match=f"bind source path does not exist: {gone}"):
        asyncio.run(attach(volumes, points))


def test_running_container_is_adopted(volumes: Volumes) -> None:
    points = resolve(volumes, {"Binds": ["named:/a", "/no/longer:/b"]})
    volumes.emit = lambda action, name, attributes: pytest.fail("told")
    mounts.adopt(volumes, "c1", [*points, MountPoint("volume", "/c", name="gone")])
    assert volumes.get("named").active == {identity("c1", "/a")} and not Path("/no").exists()


def test_use_is_told(volumes: Volumes) -> None:
    events: list[tuple[str, str, dict[str, str]]] = []
    points = resolve(volumes, {"Binds": ["named:/a:ro"]})
    volumes.emit = lambda action, name, attributes: events.append((action, name, attributes))

    async def use() -> None:
        await attach(volumes, points)
        await mounts.detach(volumes, "c1", points)
        await mounts.detach(volumes, "c1", points)

    asyncio.run(use())
    assert events == [
        (
            "mount",
            "named",
            {"container": "c1", "destination": "/a", "driver": "local", "propagation": "", "read/write": "false"},
        ),
        ("unmount", "named", {"container": "c1", "driver": "local"}),
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")
def test_copy_up_keeps_everything(volumes: Volumes, tmp_path: Path) -> None:
    image = tmp_path / "image"
    (image / "srv/deep").mkdir(parents=True)
    (image / "link").symlink_to("/srv")
    (image / "srv/file").write_text("text")
    os.link(image / "srv/file", image / "srv/deep/twin")
    (image / "srv/dangling").symlink_to("../../../../etc/passwd")
    os.mknod(image / "srv/null", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    os.mkfifo(image / "srv/pipe")
    (image / "srv/pipe").chmod(0o620)
    os.chown(image / "srv/file", 1000, 1001)
    (image / "srv/file").chmod(0o4755)
    os.setxattr(image / "srv/file", "user.tag", b"v")
    os.chown(image / "srv", 7, 8)
    (image / "srv").chmod(0o1770)
    os.utime(image / "srv/deep", (5, 5))
    points = resolve(volumes, {}, {"Volumes": {"/link": {}}})
    root = os.open(image, os.O_PATH | os.O_DIRECTORY)
    asyncio.run(mounts.populate(volumes, "c1", points, root))
    made = Path(points[0].source)
    status = (made / "file").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), status.st_nlink) == (1000, 1001, 0o4755, 2)
    assert (made / "deep/twin").samefile(made / "file") and os.getxattr(made / "file", "user.tag") == b"v"
    assert (made / "dangling").readlink() == Path("../../../../etc/passwd")
    assert (made / "null").is_char_device() and (made / "null").stat().st_rdev == os.makedev(1, 3)
    assert (made / "pipe").is_fifo() and stat.S_IMODE((made / "pipe").stat().st_mode) == 0o620
    assert (made.stat().st_uid, made.stat().st_gid, stat.S_IMODE(made.stat().st_mode)) == (7, 8, 0o1770)
    assert (made / "deep").stat().st_mtime == 5
    (image / "srv/later").touch()
    assert not copyup.Source(root, "/srv").wanted(str(made))
    asyncio.run(mounts.populate(volumes, "c2", points, root))
    assert not (made / "later").exists()
    volumes.filling(volumes.get(points[0].name), done=False)
    (made / "file").unlink()
    asyncio.run(mounts.populate(volumes, "c3", points, root))
    assert (made / "later").exists() and (made / "file").read_text() == "text"
    assert not mounts.unfilled(volumes, points)
    os.close(root)


def test_copy_up_stays_inside(tmp_path: Path) -> None:
    image, volume = tmp_path / "image", tmp_path / "volume"
    image.mkdir()
    volume.mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("host")
    (image / "out").symlink_to("../secret")
    (image / "file").touch()
    root = os.open(image, os.O_PATH | os.O_DIRECTORY)
    for destination in ("/../secret", "/out", "/../../etc", "/file", "/missing"):
        assert not copyup.Source(root, destination).wanted(str(volume))
        copyup.Source(root, destination).fill(str(volume))
    os.close(root)
    assert not list(volume.iterdir())


def test_what_a_start_will_mount_is_foreseen(volumes: Volumes) -> None:
    points = resolve(volumes, {"Binds": ["named:/a", "/tmp:/b"], "Mounts": [{"Type": "tmpfs", "Target": "/c"}]})
    assert mounts.foreseen(volumes, points)
    assert asyncio.run(attach(volumes, points)) == points
    for spec in (
        {"Type": "image", "Source": "busybox", "Target": "/x"},
        {"Type": "volume", "Source": "named", "Target": "/x", "VolumeOptions": {"Subpath": "in"}},
    ):
        assert not mounts.foreseen(volumes, [parse.mount(Mount.model_validate(spec))])
    assert not mounts.foreseen(volumes, [MountPoint("volume", "/x", name="theirs", driver="shelf")])
