from pathlib import Path
from typing import Any

import pytest

from protos import errdefs
from services.dockerd.schema.container import Mount
from services.dockerd.volumes import parse
from services.dockerd.volumes.mountpoint import MountPoint


@pytest.mark.parametrize(
    ("text", "type_", "source", "destination", "mode", "rw"),
    [
        ("/host:/in", "bind", "/host", "/in", "", True),
        ("/host/../x/:/in/", "bind", "/x", "/in", "", True),
        ("/host:/in:ro", "bind", "/host", "/in", "ro", False),
        ("/host:/in:rw,z", "bind", "/host", "/in", "rw,z", True),
        ("name:/in", "volume", "name", "/in", "", True),
        ("name:/in:ro,Z", "volume", "name", "/in", "ro,Z", False),
        ("/in", "volume", "", "/in", "", True),
        ("/var/run/docker.sock:/var/run/docker.sock", "bind", "/var/run/docker.sock", "/var/run/docker.sock", "", True),
        ("/x:/y:cached", "bind", "/x", "/y", "cached", True),
    ],
)
def test_bind_is_parsed(text: str, type_: str, source: str, destination: str, mode: str, rw: bool) -> None:
    point = parse.bind(text)
    assert (point.type, point.source or point.name, point.destination) == (type_, source, destination)
    assert (point.mode, point.rw, point.must_exist) == (mode, rw, False)


def test_propagation_is_kept() -> None:
    assert parse.bind("/x:/y").propagation == "rprivate"
    assert parse.bind("/x:/y:rslave,ro").propagation == "rslave"
    assert parse.bind("n:/y").propagation == ""


def test_nocopy_is_kept() -> None:
    assert parse.bind("name:/in").copy and not parse.bind("name:/in:nocopy").copy and not parse.bind("/x:/in").copy


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "invalid volume specification: ''"),
        (":/x", "invalid volume specification: ':/x'"),
        ("/x:ro", "invalid volume specification: '/x:ro'"),
        ("/x:/y:ro:z", "invalid volume specification: '/x:/y:ro:z'"),
        ("/x:/y:foo", "invalid mode: foo"),
        ("/x:/y:ro,rw", "invalid mode: ro,rw"),
        ("/x:/y:z,Z", "invalid mode: z,Z"),
        ("/x:/y:slave,shared", "invalid mode: slave,shared"),
        ("/x:/", "invalid volume specification: '/x:/': .*destination can't be '/'"),
        ("/x:/a/..", "destination can't be '/'"),
        ("/x:y", "invalid mount path: 'y' mount path must be absolute"),
        ("n:/y:rslave", "invalid volume specification: 'n:/y:rslave'"),
    ],
)
def test_bad_bind_is_refused(text: str, error: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=error):
        parse.bind(text)


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"Type": "bind", "Source": "/nosuch/dir", "Target": "/x"}, "bind source path does not exist: /nosuch/dir"),
        ({"Type": "bind", "Target": "/x"}, "field Source must not be empty"),
        ({"Type": "bind", "Source": "rel", "Target": "/x"}, "mount path must be absolute"),
        (
            {"Type": "bind", "Source": "/", "Target": "/x", "BindOptions": {"Propagation": "odd"}},
            "invalid propagation mode: odd",
        ),
        (
            {"Type": "bind", "Source": "/", "Target": "/x", "VolumeOptions": {}},
            "field VolumeOptions must not be specified",
        ),
        ({"Type": "volume", "Source": "n", "Target": ""}, "field Target must not be empty"),
        (
            {"Type": "volume", "Source": "n", "Target": "/x", "BindOptions": {}},
            "field BindOptions must not be specified",
        ),
        (
            {"Type": "volume", "Target": "/x", "ReadOnly": True},
            "must not set ReadOnly mode when using anonymous volumes",
        ),
        (
            {"Type": "volume", "Source": "n", "Target": "/x", "VolumeOptions": {"Subpath": "../x"}},
            "subpath must be a relative path",
        ),
        (
            {"Type": "volume", "Target": "/x", "VolumeOptions": {"Subpath": "x"}},
            "must not set Subpath when using anonymous",
        ),
        ({"Type": "tmpfs", "Source": "n", "Target": "/x"}, "field Source must not be specified"),
        ({"Type": "tmpfs", "Target": "/x", "TmpfsOptions": {"Options": [["suid"]]}}, "invalid option: suid"),
        ({"Type": "odd", "Target": "/x"}, "mount type unknown"),
    ],
)
def test_bad_mount_is_refused(spec: dict[str, Any], error: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=f'invalid mount config for type "{spec["Type"]}": .*{error}'):
        parse.mount(Mount.model_validate(spec))


def test_mount_may_make_its_source(tmp_path: Path) -> None:
    spec = Mount.model_validate(
        {"Type": "bind", "Source": str(tmp_path / "new"), "Target": "/x", "BindOptions": {"CreateMountpoint": True}}
    )
    assert not parse.mount(spec).must_exist
    assert parse.mount(Mount(Type="bind", Source=str(tmp_path), Target="/x")).must_exist


def test_image_is_only_read() -> None:
    point = parse.mount(Mount(Type="image", Source="busybox", Target="/x"))
    assert (point.type, point.name, point.rw, point.propagation) == ("image", "busybox", False, "rprivate")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "field Source must not be empty"),
        ({"Source": "b", "VolumeOptions": {}}, "field VolumeOptions must not be specified"),
        ({"Source": "b", "BindOptions": {}}, "field BindOptions must not be specified"),
        ({"Source": "b", "ImageOptions": {"Subpath": "../x"}}, "subpath must be a relative path within the volume"),
    ],
)
def test_bad_image_mount_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=f'invalid mount config for type "image": {text}'):
        parse.mount(Mount.model_validate({"Type": "image", "Target": "/x", **fields}))


def test_volumes_from_is_parsed() -> None:
    assert parse.volumes_from("box") == ("box", True)
    assert parse.volumes_from("box:ro") == ("box", False)
    assert parse.volumes_from("box:rw,z") == ("box", True)
    for wrong in ("", "box:foo", "box:rslave", "box:nocopy"):
        with pytest.raises(errdefs.InvalidArgument):
            parse.volumes_from(wrong)


def test_mountpoint_survives_the_disk() -> None:
    point = parse.bind("name:/in:ro,nocopy")
    assert MountPoint.from_json(point.to_json()) == point


def test_inspect_shows_dockers_keys() -> None:
    assert parse.bind("/x:/y:ro").inspect() == {
        "Type": "bind",
        "Source": "/x",
        "Destination": "/y",
        "Mode": "ro",
        "RW": False,
        "Propagation": "rprivate",
    }
    volume = MountPoint("volume", "/d", "/v/_data", "v", "local", "z")
    assert volume.inspect() == {
        "Type": "volume",
        "Name": "v",
        "Source": "/v/_data",
        "Destination": "/d",
        "Driver": "local",
        "Mode": "z",
        "RW": True,
        "Propagation": "",
    }
