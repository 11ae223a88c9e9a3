"""`docker volume`, binds and mounts, and the copy-up of what an image has in a volume's place."""

import json
from pathlib import Path

import pytest

from tests.harness.cli import Docker
from tests.harness.engine import Engine
from tests.harness.http import API


def test_create_list_inspect_remove(docker: Docker) -> None:
    assert docker.ok("volume", "create", "one") == "one"
    assert docker.ok("volume", "ls", "-q") == "one"
    (info,) = json.loads(docker.ok("volume", "inspect", "one"))
    assert (info["Name"], info["Driver"], info["Scope"]) == ("one", "local", "local")
    assert info["Mountpoint"].endswith("/volumes/one/_data") and Path(info["Mountpoint"]).is_dir()
    assert info["CreatedAt"].startswith("20")
    assert docker.ok("volume", "rm", "one") == "one"
    assert docker.ok("volume", "ls", "-q") == ""


def test_a_name_is_made_up(docker: Docker) -> None:
    name = docker.ok("volume", "create")
    assert len(name) == 64


def test_create_again_is_the_same(docker: Docker) -> None:
    docker.ok("volume", "create", "--label", "a=b", "one")
    docker.ok("volume", "create", "one")
    assert docker.ok("volume", "inspect", "--format", "{{json .Labels}}", "one") == '{"a":"b"}'


def test_filters(docker: Docker, name: str) -> None:
    docker.ok("volume", "create", "--label", "kind=x", "used")
    docker.ok("volume", "create", "idle")
    docker.ok("create", "--name", name, "-v", "used:/d", "busybox")
    for chosen, found in (
        ("dangling=true", ["idle"]),
        ("dangling=false", ["used"]),
        ("name=us", ["used"]),
        ("label=kind", ["used"]),
        ("label=kind=x", ["used"]),
        ("driver=local", ["idle", "used"]),
    ):
        assert docker.ok("volume", "ls", "-q", "--filter", chosen).split() == found, chosen


def test_a_volume_in_use_stays(docker: Docker, name: str) -> None:
    container = docker.ok("create", "--name", name, "-v", "busy:/d", "busybox")
    text = docker.fails("volume", "rm", "busy", code=1)
    assert f"remove busy: volume is in use - [{container}]" in text


def test_a_missing_volume(docker: Docker) -> None:
    assert "no such volume" in docker.fails("volume", "inspect", "not-there", code=1).lower()
    assert "no such volume" in docker.fails("volume", "rm", "not-there", code=1).lower()


@pytest.mark.parametrize("bad", ["a", "-a", "a/b", "ä1"])
def test_bad_names(docker: Docker, bad: str) -> None:
    api_text = (
        docker.fails("volume", "create", "--name", bad)
        if bad.startswith("-")
        else docker.fails("volume", "create", bad)
    )
    assert "name" in api_text


def test_an_unknown_driver(docker: Docker) -> None:
    text = docker.fails("volume", "create", "-d", "nosuch", "one")
    assert 'plugin "nosuch" not found' in text


def test_prune(docker: Docker) -> None:
    docker.ok("create", "-v", "/anonymous", "--name", "holder", "busybox")
    docker.ok("rm", "holder")
    assert "Total reclaimed space" in docker.ok("volume", "prune", "-f")
    assert docker.ok("volume", "ls", "-q") == ""


def test_data_outlives_containers(docker: Docker) -> None:
    docker.ok("run", "--rm", "-v", "keep:/d", "busybox", "sh", "-c", "echo kept > /d/f")
    assert docker.ok("run", "--rm", "-v", "keep:/d", "busybox", "cat", "/d/f") == "kept"


def test_two_containers_share(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "-v", "shared:/d", "busybox", "sleep", "60")
    docker.ok("run", "--rm", "--volumes-from", name, "busybox", "sh", "-c", "echo hello > /d/f")
    assert docker.ok("exec", name, "cat", "/d/f") == "hello"


def test_volumes_from_read_only(docker: Docker, name: str) -> None:
    docker.ok("create", "--name", name, "-v", "shared:/d", "busybox")
    result = docker("run", "--rm", "--volumes-from", f"{name}:ro", "busybox", "touch", "/d/f")
    assert "Read-only file system" in result.err


def test_read_only(docker: Docker) -> None:
    assert "Read-only file system" in docker("run", "--rm", "-v", "v1:/d:ro", "busybox", "touch", "/d/f").err


def test_copy_up(docker: Docker) -> None:
    out = docker.ok("run", "--rm", "-v", "fill:/etc", "busybox", "ls", "/etc")
    assert "passwd" in out
    mount = Path(docker.ok("volume", "inspect", "--format", "{{.Mountpoint}}", "fill"))
    assert (mount / "passwd").read_text().startswith("root:")


def test_copy_up_keeps_modes_and_owners(docker: Docker) -> None:
    docker.ok("run", "--rm", "-v", "fill:/tmp", "busybox", "true")
    mount = Path(docker.ok("volume", "inspect", "--format", "{{.Mountpoint}}", "fill"))
    assert mount.stat().st_mode & 0o7777 == 0o1777


def test_no_copy(docker: Docker) -> None:
    assert docker.ok("run", "--rm", "-v", "bare:/home:nocopy", "busybox", "ls", "-A", "/home") == ""


def test_a_full_volume_is_not_copied_over(docker: Docker) -> None:
    docker.ok("run", "--rm", "-v", "mine:/d", "busybox", "touch", "/d/own")
    assert docker.ok("run", "--rm", "-v", "mine:/etc", "busybox", "ls", "/etc").split() == sorted(
        ["own", "hostname", "hosts", "resolv.conf"]
    )


def test_bind(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("from outside")
    assert docker.ok("run", "--rm", "-v", f"{tmp_path}:/d", "busybox", "cat", "/d/f") == "from outside"
    docker.ok("run", "--rm", "-v", f"{tmp_path}:/d", "busybox", "sh", "-c", "echo from inside > /d/g")
    assert (tmp_path / "g").read_text() == "from inside\n"


def test_bind_of_a_file(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("file")
    assert docker.ok("run", "--rm", "-v", f"{tmp_path}/f:/some/where/f:ro", "busybox", "cat", "/some/where/f") == "file"


def test_v_makes_a_missing_directory(docker: Docker, tmp_path: Path) -> None:
    docker.ok("run", "--rm", "-v", f"{tmp_path}/new/deep:/d", "busybox", "touch", "/d/f")
    assert (tmp_path / "new" / "deep" / "f").exists()


def test_mount_refuses_a_missing_directory(docker: Docker, tmp_path: Path) -> None:
    text = docker.fails("run", "--rm", "--mount", f"type=bind,src={tmp_path}/new,dst=/d", "busybox", "true")
    assert f"bind source path does not exist: {tmp_path}/new" in text
    assert not (tmp_path / "new").exists()


def test_mounts_of_each_type(docker: Docker, name: str, tmp_path: Path) -> None:
    words = [
        f"type=bind,src={tmp_path},dst=/bind,readonly",
        "type=volume,src=vol,dst=/vol",
        "type=volume,dst=/anonymous",
        "type=tmpfs,dst=/tmpfs,tmpfs-size=65536,tmpfs-mode=700",
    ]
    mounts = [part for word in words for part in ("--mount", word)]
    docker.ok("run", "-d", "--name", name, *mounts, "busybox", "sleep", "60")
    found = {mount["Destination"]: mount for mount in json.loads(docker.inspect(name, "{{json .Mounts}}"))}
    assert (found["/bind"]["Type"], found["/bind"]["Source"], found["/bind"]["RW"]) == ("bind", str(tmp_path), False)
    assert (found["/vol"]["Type"], found["/vol"]["Name"], found["/vol"]["RW"]) == ("volume", "vol", True)
    assert len(found["/anonymous"]["Name"]) == 64
    assert "size=64k" in docker.ok("exec", name, "grep", "/tmpfs", "/proc/mounts")


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("/a:/b:/c:/d", "too many colons"),
        ("/a:b", "invalid mount path: 'b' mount path must be absolute"),
        ("/tmp:/d:purple", "invalid mode: purple"),
        ("/tmp:/", "invalid specification: destination can't be '/'"),
    ],
)
def test_bad_binds(docker: Docker, spec: str, text: str) -> None:
    assert text in docker.fails("run", "--rm", "-v", spec, "busybox", "true")


def test_the_same_target_twice(docker: Docker) -> None:
    assert "Duplicate mount point: /d" in docker.fails("run", "--rm", "-v", "v1:/d", "-v", "v2:/d", "busybox", "true")


def test_a_removed_bind_source_is_told_at_start(docker: Docker, name: str, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    docker.ok("create", "--name", name, "--mount", f"type=bind,src={tmp_path}/gone,dst=/d", "busybox", "true")
    (tmp_path / "gone").rmdir()
    assert "bind source path does not exist" in docker.fails("start", name, code=1)


def test_local_driver_options(docker: Docker) -> None:
    docker.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "ram")
    assert "size=1024k" in docker.ok("run", "--rm", "-v", "ram:/d", "busybox", "grep", " /d ", "/proc/mounts")


def test_propagation_reaches_the_host(docker: Docker, engine: Engine, tmp_path: Path) -> None:
    text = docker("run", "--rm", "-v", f"{tmp_path}:/d:rshared", "busybox", "true")
    assert text.code == 0 or "is not a shared mount" in text.err


def test_disk_usage_counts_volumes(api: API, docker: Docker) -> None:
    docker.ok("run", "--rm", "-v", "big:/d", "busybox", "sh", "-c", "head -c 100000 /dev/zero > /d/f")
    (volume,) = api.get("/system/df")["Volumes"]
    assert volume["Name"] == "big" and volume["UsageData"]["Size"] >= 100_000 and volume["UsageData"]["RefCount"] == 0
