"""`--mount`, `-v`, `--tmpfs` with all their words, and what the local driver mounts, seen from inside and the host."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker as sdk
import pytest

from tests.harness.cli import Docker
from tests.harness.engine import Engine
from tests.harness.http import API
from tests.harness.wait import until


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory on a mount of its own, shared with whoever asks."""
    place = tmp_path / "shared"
    place.mkdir()
    subprocess.run(["mount", "--bind", place, place], check=True)
    subprocess.run(["mount", "--make-shared", place], check=True)
    yield place
    subprocess.run(["umount", "-R", "-l", place], check=True)


def options(docker: Docker, place: str, *words: str) -> list[str]:
    """The mount options of a place inside a container."""
    out = docker.ok("run", "--rm", *words, "busybox", "grep", f" {place} ", "/proc/mounts")
    return out.split()[3].split(",")


def mount_point(docker: Docker, volume: str) -> Path:
    return Path(docker.ok("volume", "inspect", "-f", "{{.Mountpoint}}", volume))


# the local driver


def test_a_device_is_mounted_from_first_to_last_use(docker: Docker, name: str) -> None:
    docker.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=7", "ram")
    place = mount_point(docker, "ram")
    assert not place.is_mount()
    docker.ok("run", "-d", "--name", name, "-v", "ram:/d", "busybox", "sh", "-c", "echo here >/d/f; sleep 60")
    assert place.is_mount() and place.stat().st_uid == 7
    until((place / "f").exists, "its file is written")
    assert docker.ok("run", "--rm", "-v", "ram:/d", "busybox", "ls", "/d") == "f"
    assert place.is_mount()
    docker.ok("rm", "-f", name)
    assert not place.is_mount()


def test_a_bind_as_a_volume(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("outside")
    docker.ok("volume", "create", "-o", "type=none", "-o", f"device={tmp_path}", "-o", "o=bind,ro", "bound")
    assert docker.ok("run", "--rm", "-v", "bound:/d", "busybox", "cat", "/d/f") == "outside"
    assert "Read-only file system" in docker("run", "--rm", "-v", "bound:/d", "busybox", "touch", "/d/g").err
    docker.ok("volume", "rm", "bound")
    assert (tmp_path / "f").exists()


def test_a_file_system_as_a_volume(docker: Docker, tmp_path: Path) -> None:
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(4 << 20)
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", image], check=True)
    found = subprocess.run(["losetup", "-f", "--show", image], check=True, capture_output=True, text=True)
    device = found.stdout.strip()
    try:
        docker.ok("volume", "create", "-o", "type=ext4", "-o", f"device={device}", "disk")
        assert docker.ok("run", "--rm", "-v", "disk:/d", "busybox", "grep", "-c", " /d ext4 ", "/proc/mounts") == "1"
        docker.ok("run", "--rm", "-v", "disk:/d", "busybox", "touch", "/d/f")
        assert "f" in docker.ok("run", "--rm", "-v", "disk:/d", "busybox", "ls", "/d")
        docker.ok("volume", "rm", "disk")
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["type=nfs"], 'create bad: missing required option: "device"'),
        (["device=/x"], 'create bad: missing required option: "type"'),
        (["colour=red"], 'create bad: invalid option: "colour"'),
        (["size=1g"], "create bad: quota size requested but no quota support"),
        (["size=much"], "create bad: invalid size: 'much'"),
    ],
)
def test_bad_options(docker: Docker, words: list[str], text: str) -> None:
    told = docker.fails("volume", "create", *(part for word in words for part in ("-o", word)), "bad", code=1)
    assert text in told
    assert docker.ok("volume", "ls", "-q") == ""


def test_a_device_that_is_not_there(docker: Docker, name: str) -> None:
    docker.ok("volume", "create", "-o", "type=none", "-o", "device=/no/such", "-o", "o=bind", "lost")
    place = mount_point(docker, "lost")
    text = docker.fails("run", "--name", name, "-v", "lost:/d:nocopy", "busybox", "true")
    assert f"error while mounting volume '{place}': failed to mount local volume: mount /no/such:{place}" in text
    assert "flags: 0x1000" in text and "no such file or directory" in text
    docker.ok("rm", name)
    docker.ok("volume", "rm", "lost")


def test_a_server_without_a_name(docker: Docker) -> None:
    words = ["-o", "type=nfs", "-o", "device=:/x", "-o", "o=addr=no-such.invalid,rw"]
    docker.ok("volume", "create", *words, "far")
    text = docker.fails("run", "--rm", "-v", "far:/d:nocopy", "busybox", "true")
    assert "error resolving passed in network volume address: lookup no-such.invalid" in text


@pytest.mark.ours
def test_a_password_is_not_told(docker: Docker) -> None:
    words = ["-o", "type=cifs", "-o", "device=//127.0.0.1/x", "-o", "o=addr=127.0.0.1,username=u,password=secret"]
    docker.ok("volume", "create", *words, "far")
    text = docker.fails("run", "--rm", "-v", "far:/d:nocopy", "busybox", "true")
    assert "password=********" in text and "secret" not in text


# what is mounted how


def test_words_of_v(docker: Docker, tmp_path: Path) -> None:
    for words in ("ro", "z,ro", "ro,Z", "consistent,ro", "ro,cached", "delegated,ro"):
        assert "ro" in options(docker, "/d", "-v", f"{tmp_path}:/d:{words}")
    assert "rw" in options(docker, "/d", "-v", f"{tmp_path}:/d:rw,z")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("/tmp:/d:ro,rw", "invalid mode: ro,rw"),
        ("/tmp:/d:shared,slave", "invalid mode: shared,slave"),
        ("/tmp:/d:nocopy", 'invalid mount config for type "bind": field VolumeOptions must not be specified'),
        ("v1:/d:shared", 'invalid mount config for type "volume": field BindOptions must not be specified'),
        ("v1:/d:", "invalid"),
        ("rel/ative:/d", "includes invalid characters for a local volume name"),
    ],
)
def test_bad_words_of_v(docker: Docker, words: str, text: str) -> None:
    assert text in docker.fails("run", "--rm", "-v", words, "busybox", "true", code=125)


@pytest.mark.ours
def test_the_client_takes_one_letter_for_a_drive(docker: Docker) -> None:
    text = docker.fails("run", "--rm", "-v", "a:/x", "busybox", "true", code=125)
    assert "invalid mount path: 'a:/x' mount path must be absolute" in text


def test_a_name_of_one_letter(api: API) -> None:
    reply = api("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"Binds": ["a:/x"]}})
    assert reply.status in (400, 500)
    assert "volume name is too short, names should be at least two alphanumeric characters" in reply.message


def test_one_mount_a_place(docker: Docker, tmp_path: Path) -> None:
    for words in (
        ["-v", "v1:/d", "-v", f"{tmp_path}:/d"],
        ["-v", "v1:/d", "--mount", "type=tmpfs,dst=/d"],
        ["-v", "v1:/d", "--tmpfs", "/d"],
    ):
        assert "Duplicate mount point: /d" in docker.fails("run", "--rm", *words, "busybox", "true")


def test_propagation_both_ways(docker: Docker, shared: Path, name: str) -> None:
    for word, there, back in (("rshared", True, True), ("rslave", True, False), ("rprivate", False, False)):
        inner = shared / word
        inner.mkdir()
        box = f"{name}{word}"
        mount = f"type=bind,src={shared},dst=/d,bind-propagation={word}"
        docker.ok("run", "-d", "--name", box, "--cap-add", "SYS_ADMIN", "--mount", mount, "busybox", "sleep", "60")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", inner], check=True)
        seen = docker.ok("exec", box, "grep", "-c", f" /d/{word} ", "/proc/mounts") if there else ""
        assert seen == ("1" if there else "")
        if not there:
            assert docker("exec", box, "grep", "-c", f" /d/{word} ", "/proc/mounts").out.strip() == "0"
        subprocess.run(["umount", inner], check=True)
        docker.ok("exec", box, "mount", "-t", "tmpfs", "tmpfs", f"/d/{word}")
        assert inner.is_mount() is back
        docker.ok("rm", "-f", box)


def test_propagation_needs_a_mount_that_has_it(docker: Docker, tmp_path: Path) -> None:
    place = tmp_path / "private"
    place.mkdir()
    subprocess.run(["mount", "--bind", place, place], check=True)
    subprocess.run(["mount", "--make-private", place], check=True)
    try:
        for word, text in (("rshared", "it is not a shared mount"), ("rslave", "it is not a shared or slave mount")):
            told = docker.fails("run", "--rm", "-v", f"{place}:/d:{word}", "busybox", "true")
            assert f"path {place} is mounted on {place} but {text}" in told
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture
def nested(tmp_path: Path) -> Iterator[Path]:
    """A directory with a writable mount inside."""
    place = tmp_path / "nested"
    (place / "in").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place / "in"], check=True)
    (place / "in/f").touch()
    yield place
    subprocess.run(["umount", "-l", place / "in"], check=True)


@pytest.mark.ours
def test_recursion_of_read_only_binds(docker: Docker, nested: Path) -> None:
    for words, writes in (
        ("readonly", False),
        ("readonly,bind-recursive=enabled", False),
        ("readonly,bind-recursive=writable", True),
        ("readonly,bind-recursive=readonly,bind-propagation=rprivate", False),
    ):
        mount = f"type=bind,src={nested},dst=/d,{words}"
        done = docker("run", "--rm", "--mount", mount, "busybox", "touch", "/d/in/g")
        assert (done.code == 0) is writes, words
    mount = f"type=bind,src={nested},dst=/d,bind-recursive=disabled"
    assert docker.ok("run", "--rm", "--mount", mount, "busybox", "ls", "/d/in") == ""
    assert docker.ok("run", "--rm", "--mount", f"type=bind,src={nested},dst=/d", "busybox", "ls", "/d/in") != ""


def test_binds_that_do_not_recurse(docker: Docker, nested: Path) -> None:
    mount = f"type=bind,src={nested},dst=/d,bind-nonrecursive"
    assert docker.ok("run", "--rm", "--mount", mount, "busybox", "ls", "/d/in") == ""


@pytest.mark.ours
def test_a_source_may_be_made(api: API, docker: Docker, tmp_path: Path) -> None:
    mount = {"Type": "bind", "Source": f"{tmp_path}/a/b", "Target": "/d", "BindOptions": {"CreateMountpoint": True}}
    body = {"Image": "busybox", "Cmd": ["touch", "/d/f"], "HostConfig": {"Mounts": [mount]}}
    container = api("POST", "/containers/create", body).json["Id"]
    docker.ok("start", "-a", container)
    assert (tmp_path / "a/b/f").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("type=bind,dst=/d", "field Source must not be empty"),
        ("type=bind,src=rel,dst=/d", "mount path must be absolute"),
        ("type=tmpfs,src=/x,dst=/d", "field Source must not be specified"),
        ("type=odd,dst=/d", "mount type unknown"),
        ("type=bind,src=/tmp,dst=/", "invalid specification: destination can't be '/'"),
        ("type=volume,src=v1,dst=d", "mount path must be absolute"),
    ],
)
def test_bad_mounts(docker: Docker, words: str, text: str) -> None:
    assert text in docker.fails("run", "--rm", "--mount", words, "busybox", "true", code=125)


def test_tmpfs(docker: Docker) -> None:
    found = options(docker, "/d", "--tmpfs", "/d:size=64k,mode=700,exec")
    assert {"rw", "nosuid", "nodev", "size=64k", "mode=700"} <= set(found) and "noexec" not in found
    found = options(docker, "/d", "--mount", "type=tmpfs,dst=/d,tmpfs-size=1m,tmpfs-mode=1770,readonly")
    assert {"ro", "nosuid", "nodev", "noexec", "size=1024k", "mode=1770"} <= set(found)
    assert "invalid tmpfs option" in docker.fails("run", "--rm", "--tmpfs", "/d:colour", "busybox", "true")


@pytest.mark.ours
def test_tmpfs_options(api: API, docker: Docker) -> None:
    mount = {"Type": "tmpfs", "Target": "/d", "TmpfsOptions": {"Options": [["exec"]]}}
    body = {"Image": "busybox", "Cmd": ["grep", " /d ", "/proc/mounts"], "HostConfig": {"Mounts": [mount]}}
    container = api("POST", "/containers/create", body).json["Id"]
    found = docker.ok("start", "-a", container)
    assert "nosuid" in found and "noexec" not in found


def test_read_only_root_leaves_mounts(docker: Docker, tmp_path: Path) -> None:
    words = ["--read-only", "--tmpfs", "/run", "-v", "data:/data", "-v", f"{tmp_path}:/host"]
    docker.ok("run", "--rm", *words, "busybox", "touch", "/run/f", "/data/f", "/host/f", "/dev/shm/f")
    assert "Read-only file system" in docker("run", "--rm", *words, "busybox", "touch", "/etc/f").err


def test_volumes_from(docker: Docker, name: str, tmp_path: Path) -> None:
    docker.ok("create", "--name", name, "-v", "named:/a", "-v", f"{tmp_path}:/b:ro", "-v", "/c", "busybox")
    other = docker.ok("create", "--volumes-from", f"{name}:ro", "-v", "mine:/a", "busybox")
    found = {each["Destination"]: each for each in json.loads(docker.inspect(other, "{{json .Mounts}}"))}
    assert {place: (each.get("Name", "")[:5], each["RW"]) for place, each in found.items()} == {
        "/a": ("mine", True), "/b": ("", False), "/c": (found["/c"]["Name"][:5], False)
    }
    docker.ok("rm", "-v", name)
    assert found["/c"]["Name"] in docker.ok("volume", "ls", "-q"), "it is still in use"
    docker.ok("rm", "-v", other)
    assert "No such container: ghost" in docker.fails("run", "--rm", "--volumes-from", "ghost", "busybox", "true")
    assert "invalid mode: odd" in docker.fails("run", "--rm", "--volumes-from", f"{name}:odd", "busybox", "true")


# inside volumes and images


@pytest.mark.ours
def test_a_subpath_of_a_volume(docker: Docker, engine: Engine, name: str) -> None:
    script = "mkdir -p /d/in/side; echo x >/d/in/side/f; ln -s ../../../../../../etc /d/out"
    docker.ok("run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", script)
    mount = "type=volume,src=data,dst=/d,volume-subpath=in/side"
    docker.ok("run", "-d", "--name", name, "--mount", mount, "busybox", "sleep", "60")
    assert docker.ok("exec", name, "ls", "/d") == "f"
    assert not (engine.exec / "volumes/pins").exists() or not list((engine.exec / "volumes/pins").iterdir())
    file = mount.replace("in/side", "in/side/f")
    assert docker.ok("run", "--rm", "--mount", file, "busybox", "cat", "/d") == "x"
    for inside, text in (
        ("nope", "cannot access path"), ("out", "cannot access path"),
        ("../up", "subpath must be a relative path within the volume"),
        ("/abs", "subpath must be a relative path within the volume"),
    ):
        words = mount.replace("in/side", inside)
        assert text in docker.fails("run", "--rm", "--mount", words, "busybox", "true"), inside
    anonymous = "type=volume,dst=/d,volume-subpath=x"
    told = docker.fails("run", "--rm", "--mount", anonymous, "busybox", "true")
    assert "must not set Subpath when using anonymous volumes" in told


@pytest.mark.ours
def test_a_subpath_cannot_be_raced(docker: Docker, engine: Engine, name: str) -> None:
    """A container that keeps swapping the directory for a link never shows the host."""
    secret = Path(engine.root, "secret")
    secret.mkdir(exist_ok=True)
    (secret / "key").touch()
    up = "../" * 12
    swap = f"cd /d; mkdir -p x; while :; do mv x y; ln -s {up}{str(secret)[1:]} x; rm x; mv y x; done"
    docker.ok("run", "-d", "--name", name, "-v", "data:/d", "busybox", "sh", "-c", swap)
    mount = "type=volume,src=data,dst=/s,volume-subpath=x"
    seen = set()
    for _ in range(12):
        done = docker("run", "--rm", "--mount", mount, "busybox", "ls", "/s")
        assert "key" not in done.out
        seen.add(done.code == 0)
        assert done.code == 0 or "cannot access path" in done.err
    docker.ok("rm", "-f", name)


@pytest.mark.ours
def test_an_image_as_a_mount(docker: Docker, engine: Engine, name: str, images_gone: None) -> None:
    docker.ok("run", "--name", "maker", "busybox", "sh", "-c", "mkdir /models; echo big >/models/one")
    docker.ok("commit", "maker", "models:1")
    docker.ok("rm", "maker")
    mount = "type=image,src=models:1,dst=/img"
    both = ["--mount", mount, "--mount", mount.replace("/img", "/again")]
    docker.ok("run", "-d", "--name", name, *both, "busybox", "sleep", "60")
    assert docker.ok("exec", name, "cat", "/img/models/one", "/again/models/one") == "big\nbig"
    assert "Read-only file system" in docker("exec", name, "touch", "/img/new").err
    assert docker.ok("exec", name, "/img/bin/busybox", "echo", "runs") == "runs"
    point = json.loads(docker.inspect(name, "{{json .Mounts}}"))[0]
    assert (point["Type"], point["Name"], point["RW"]) == ("image", "models:1", False)
    using = f"container {docker.inspect(name, '{{.Id}}')[:12]} is using its referenced image"
    assert using in docker.fails("rmi", "models:1")
    docker.ok("stop", "-t", "0", name)
    docker.ok("rmi", "-f", "models:1")
    docker.ok("start", name)
    assert docker.ok("exec", name, "cat", "/img/models/one") == "big"
    docker.ok("stop", "-t", "0", name)
    assert docker.ok("cp", f"{name}:/again/models/one", "-").find("big") > 0
    docker.ok("rm", name)


@pytest.mark.ours
def test_a_subpath_of_an_image(docker: Docker, name: str) -> None:
    mount = "type=image,src=busybox,dst=/img,image-subpath=etc"
    assert "passwd" in docker.ok("run", "--rm", "--mount", mount, "busybox", "ls", "/img")
    nowhere = mount.replace("etc", "nope")
    assert "cannot access path" in docker.fails("run", "--rm", "--mount", nowhere, "busybox", "true")
    missing = mount.replace("busybox", "no-such:1")
    told = docker.fails("run", "--rm", "--mount", missing, "busybox", "true", code=125)
    assert "No such image: no-such:1" in told and "Unable to find image" not in told


# told


def test_events(docker: Docker) -> None:
    since = str(time.time())
    docker.ok("run", "--rm", "-v", "data:/d:ro,nocopy", "busybox", "true")
    docker.ok("volume", "rm", "data")
    docker.ok("volume", "prune", "-f")
    words = ["events", "--since", since, "--until", str(time.time()), "--filter", "type=volume"]
    rows = [json.loads(line) for line in docker.ok(*words, "--format", "{{json .}}").splitlines()]
    told = [(row["Action"], row["Actor"]["ID"], row["Actor"]["Attributes"]) for row in rows]
    container = told[1][2]["container"]
    assert told == [
        ("create", "data", {"driver": "local"}),
        ("mount", "data", {
            "container": container, "destination": "/d", "driver": "local", "propagation": "", "read/write": "false",
        }),
        ("unmount", "data", {"container": container, "driver": "local"}),
        ("destroy", "data", {"driver": "local"}),
        ("prune", "", {"reclaimed": "0"}),
    ]


@pytest.mark.ours
def test_prune_filters(docker: Docker) -> None:
    docker.ok("volume", "create", "--label", "keep=yes", "one")
    docker.ok("volume", "create", "--label", "keep=no", "two")
    docker.ok("volume", "create")
    every = ["--filter", "all=true"]
    docker.ok("volume", "prune", "-f", *every, "--filter", "label!=keep")
    assert docker.ok("volume", "ls", "-q").split() == ["one", "two"]
    docker.ok("volume", "prune", "-f", *every, "--filter", "label=keep=no")
    assert docker.ok("volume", "ls", "-q") == "one"
    assert "invalid filter" in docker.fails("volume", "prune", "-f", "--filter", "odd=1").lower()


def test_disk_usage(docker: Docker) -> None:
    docker.ok("volume", "create", "idle")
    docker.ok("create", "-v", "used:/d", "busybox")
    rows = docker.ok("system", "df", "-v", "--format", "{{json .Volumes}}")
    links = {row["Name"]: (row["Driver"], row["Links"]) for row in json.loads(rows)}
    assert links == {"idle": ("local", "0"), "used": ("local", "1")}


def test_the_sdk_mounts(engine: Engine, docker: Docker, tmp_path: Path) -> None:
    client = sdk.DockerClient(base_url=f"unix://{engine.socket}")
    mounts = [
        sdk.types.Mount("/bind", str(tmp_path), type="bind", read_only=True),
        sdk.types.Mount("/vol", "data", labels={"l": "v"}),
        sdk.types.Mount("/ram", None, type="tmpfs", tmpfs_size=65536),
    ]
    out = client.containers.run("busybox", "grep -E ' /(bind|vol|ram) ' /proc/mounts", mounts=mounts, remove=True)
    assert len(out.decode().splitlines()) == 3 and b"size=64k" in out
    assert client.volumes.get("data").attrs["Labels"] == {"l": "v"}
    client.close()
