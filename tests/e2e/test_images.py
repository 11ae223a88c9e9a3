"""Images: load, import, tag, remove, inspect, history; and what a container takes from its image's config."""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.cli import Docker
from tests.harness.engine import Engine, busybox
from tests.harness.http import API
from tests.harness.wait import until


@pytest.fixture
def docker(engine: Engine) -> Iterator[Docker]:
    """Leaves the engine with busybox:latest alone."""
    yield engine.docker
    for container in engine.docker.ok("ps", "-aq").split():
        engine.docker.ok("rm", "-f", "-v", container)
    keep = (
        engine.docker.ok("images", "-q", "--no-trunc", "busybox:latest")
        if engine.docker("inspect", "busybox").code == 0
        else ""
    )
    others = set(engine.docker.ok("images", "-aq", "--no-trunc").split()) - {keep}
    for reference in engine.docker.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split():
        if reference != "busybox:latest" and "<none>" not in reference:
            engine.docker("rmi", reference)
    for other in others:
        engine.docker("rmi", "-f", other)
    if not keep:
        engine.load()


def load(docker: Docker, archive: bytes) -> str:
    return docker.ok("load", stdin=archive)


def test_list(docker: Docker) -> None:
    head, row = docker.ok("images").splitlines()
    assert head.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert re.match(r"busybox +latest +[0-9a-f]{12} +\d+ years ago +\d+(\.\d+)?MB", row)


def test_list_filters(docker: Docker) -> None:
    load(docker, images.docker_archive("team/tool:1.0", {"Cmd": ["true"], "Labels": {"team": "blue"}}))
    only = ("images", "--format", "{{.Repository}}:{{.Tag}}")
    assert docker.ok(*only, "--filter", "label=team=blue") == "team/tool:1.0"
    assert docker.ok(*only, "--filter", "reference=team/*") == "team/tool:1.0"
    assert docker.ok(*only, "team/tool") == "team/tool:1.0"
    assert docker.ok(*only, "nothing") == ""
    assert docker.ok(*only, "--filter", "dangling=true") == ""


def test_load_says_what_it_loaded(docker: Docker) -> None:
    assert load(docker, images.docker_archive("tool:1", {"Cmd": ["true"]})) == "Loaded image: tool:1"
    assert docker.ok("load", "-q", "-i", str(busybox())) == "Loaded image: busybox:latest"


def test_load_of_the_same_changes_nothing(docker: Docker) -> None:
    before = docker.ok("images", "-q", "--no-trunc")
    docker.ok("load", "-i", str(busybox()))
    assert docker.ok("images", "-q", "--no-trunc") == before


@pytest.mark.ours
def test_load_of_an_oci_layout(docker: Docker) -> None:
    out = load(docker, images.oci_layout("layout:2", {"Cmd": ["echo", "from oci"]}, images.pack({"extra": b"x"})))
    assert "Loaded image: layout:2" in out
    assert docker.ok("run", "--rm", "layout:2") == "from oci"
    assert docker.ok("run", "--rm", "layout:2", "cat", "/extra") == "x"


def test_load_of_a_compressed_archive(docker: Docker) -> None:
    import gzip

    load(docker, gzip.compress(images.docker_archive("packed:1", {"Cmd": ["echo", "unpacked"]}), 1))
    assert docker.ok("run", "--rm", "packed:1") == "unpacked"


def test_load_moves_a_name(docker: Docker) -> None:
    load(docker, images.docker_archive("moving:1", {"Cmd": ["echo", "first"]}))
    first = docker.ok("images", "-q", "--no-trunc", "moving")
    out = load(docker, images.docker_archive("moving:1", {"Cmd": ["echo", "second"]}))
    assert "renaming the old one with ID" in out
    assert docker.ok("run", "--rm", "moving:1") == "second"
    assert first in docker.ok("images", "-q", "--no-trunc", "--filter", "dangling=true").split()


@pytest.mark.parametrize("junk", [b"this is no tar", b"", images.pack({"manifest.json": b"{broken"})])
def test_load_of_junk(docker: Docker, junk: bytes) -> None:
    assert docker("load", stdin=junk).code != 0
    assert docker.ok("run", "--rm", "busybox", "echo", "alive") == "alive"


def test_load_of_a_wrong_layer(docker: Docker) -> None:
    """The config promises another layer than the archive holds: refused, nothing stays."""
    fields = {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64, "sha256:" + "1" * 64]}}
    result = docker("load", stdin=images.docker_archive("wrong:1", {}, images.pack({"a": b"a"}), **fields))
    assert "wrong:1" not in docker.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert result.code != 0 or "Loaded image" not in result.out


def test_layers_shadow_and_remove(docker: Docker) -> None:
    upper = images.pack({"etc/.wh.passwd": b"", "etc/group": b"replaced\n", "new/": b"", "new/file": b"new\n"})
    opaque = images.pack({"home/": b"", "home/.wh..wh..opq": b"", "home/only": b"x"})
    below = images.pack({"home/hidden": b"h"})
    load(docker, images.docker_archive("layered:1", {}, below, upper, opaque))
    script = "ls /etc/passwd; cat /etc/group /new/file; ls -A /home"
    result = docker("run", "--rm", "layered:1", "sh", "-c", script)
    assert (result.out.split(), "No such file" in result.err) == (["replaced", "new", "only"], True)


def test_hard_and_symbolic_links(docker: Docker) -> None:
    layer = images.pack({"a": b"data", "hard": images.link("a", tarfile.LNKTYPE), "soft": images.link("/a")})
    load(docker, images.docker_archive("links:1", {}, layer))
    assert docker.ok("run", "--rm", "links:1", "sh", "-c", "cat /hard /soft; stat -c %h /a") == "datadata2"


def test_the_config_is_honoured(docker: Docker, name: str) -> None:
    config = {
        "Entrypoint": ["sh", "-c"],
        "Cmd": ["echo $GREETING; pwd; id -un"],
        "Env": ["PATH=/bin", "GREETING=hello"],
        "WorkingDir": "/srv/app",
        "User": "nobody",
        "Labels": {"kind": "test"},
        "StopSignal": "SIGUSR2",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    }
    load(docker, images.docker_archive("full:1", config))
    assert docker.ok("run", "--name", name, "full:1").split() == ["hello", "/srv/app", "nobody"]
    shown = json.loads(docker.inspect(name, "{{json .Config}}"))
    assert {key: shown[key] for key in config} == config


def test_flags_win_over_the_config(docker: Docker) -> None:
    load(
        docker, images.docker_archive("conf:1", {"Cmd": ["a"], "Entrypoint": ["echo", "entry"], "Env": ["A=1", "B=2"]})
    )
    assert docker.ok("run", "--rm", "conf:1") == "entry a"
    assert docker.ok("run", "--rm", "conf:1", "b") == "entry b"
    assert docker.ok("run", "--rm", "--entrypoint", "sh", "-e", "A=9", "conf:1", "-c", "echo $A $B").split() == [
        "9",
        "2",
    ]


def test_labels_add_up(docker: Docker, name: str) -> None:
    load(docker, images.docker_archive("labelled:1", {"Labels": {"a": "1", "b": "2"}}))
    docker.ok("create", "--name", name, "-l", "b=3", "labelled:1", "true")
    assert json.loads(docker.inspect(name, "{{json .Config.Labels}}")) == {"a": "1", "b": "3"}


def test_volumes_of_the_image_are_filled(docker: Docker, name: str) -> None:
    layer = images.pack({"data/": b"", "data/seed": b"seed"})
    load(docker, images.docker_archive("voluminous:1", {"Volumes": {"/data": {}}}, layer))
    assert docker.ok("run", "--name", name, "voluminous:1", "cat", "/data/seed") == "seed"
    (mount,) = json.loads(docker.inspect(name, "{{json .Mounts}}"))
    assert (mount["Type"], mount["Destination"]) == ("volume", "/data") and len(mount["Name"]) == 64
    assert (Path(mount["Source"]) / "seed").read_text() == "seed"


def test_rm_flag_removes_the_images_volumes(docker: Docker) -> None:
    load(docker, images.docker_archive("voluminous:1", {"Volumes": {"/data": {}}}))
    docker.ok("run", "--rm", "voluminous:1", "true")
    until(lambda: docker.ok("volume", "ls", "-q") == "", "the anonymous volume is gone")


def test_inspect(docker: Docker, api: API) -> None:
    info = api.get("/images/busybox/json")
    assert info["RepoTags"] == ["busybox:latest"] and info["Id"].startswith("sha256:") and len(info["Id"]) == 71
    assert info["Config"]["Cmd"] == ["sh"] and info["Os"] == "linux" and info["Architecture"]
    assert info["RootFS"]["Type"] == "layers" and len(info["RootFS"]["Layers"]) == 1
    assert info["Size"] > 1_000_000 and info["Created"].startswith("2023-05-18T00:00:00")
    for reference in (info["Id"], info["Id"][7:], info["Id"][7:19], "busybox:latest", "docker.io/library/busybox"):
        assert api.get(f"/images/{reference}/json")["Id"] == info["Id"]


def test_history(docker: Docker) -> None:
    rows = docker.ok("history", "--format", "{{.CreatedBy}}|{{.Size}}", "--no-trunc", "busybox").splitlines()
    assert rows[0] == '/bin/sh -c #(nop)  CMD ["sh"]|0B'
    assert rows[1].startswith("/bin/sh -c #(nop) ADD busybox-static in /") and rows[1].endswith("MB")


def test_history_without_dates(docker: Docker) -> None:
    load(docker, images.docker_archive("undated:1", {}, history=[{"created_by": "somehow"}]))
    assert "somehow" in docker.ok("history", "--no-trunc", "undated:1")


def test_tag_and_untag(docker: Docker) -> None:
    docker.ok("tag", "busybox", "registry.example:5000/team/box:v1")
    assert docker.ok("images", "-q", "registry.example:5000/team/box") == docker.ok("images", "-q", "busybox")
    assert docker.ok("rmi", "registry.example:5000/team/box:v1") == "Untagged: registry.example:5000/team/box:v1"


def test_tag_of_nothing(docker: Docker) -> None:
    assert "No such image: nothing:latest" in docker.fails("tag", "nothing", "other", code=1)


@pytest.mark.parametrize("name", ["UPPER", "a b", "a:b:c", "-a", "a/../b"])
def test_bad_references(docker: Docker, api: API, name: str) -> None:
    reply = api("POST", "/images/busybox/tag", repo=name)
    assert reply.status in (400, 500) and (
        "invalid reference format" in reply.message or "not a valid repository" in reply.message
    )


def test_remove(docker: Docker) -> None:
    load(docker, images.docker_archive("gone:1", {"Cmd": ["unique"]}, images.pack({"f": b"unique"})))
    image = docker.ok("images", "-q", "--no-trunc", "gone")
    out = docker.ok("rmi", "gone:1").splitlines()
    assert out[0] == "Untagged: gone:1" and f"Deleted: {image}" in out
    assert "No such image: gone:1" in docker.fails("rmi", "gone:1", code=1)


def test_remove_by_id_with_two_names(docker: Docker) -> None:
    docker.ok("tag", "busybox", "second:1")
    image = docker.ok("images", "-q", "busybox")
    text = docker.fails("rmi", image, code=1)
    assert f"conflict: unable to delete {image} (must be forced) - image is referenced in multiple repositories" in text


def test_remove_in_use(docker: Docker, name: str) -> None:
    container = docker.ok("create", "--name", name, "busybox")
    text = docker.fails("rmi", "busybox", code=1)
    assert "conflict: unable to remove repository reference" in text
    assert f"(must force) - container {container[:12]} is using its referenced image" in text


def test_remove_of_a_running_containers_image(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "60")
    image = docker.ok("images", "-q", "busybox")
    text = docker.fails("rmi", "-f", image, code=1)
    assert "(cannot be forced) - image is being used by running container" in text


def test_a_forced_removal_leaves_the_container(docker: Docker, name: str) -> None:
    docker.ok("create", "--name", name, "busybox", "echo", "still")
    docker.ok("rmi", "-f", "busybox")
    assert docker.ok("start", "-a", name) == "still"


def test_prune(docker: Docker) -> None:
    load(docker, images.docker_archive("moving:1", {"Cmd": ["echo", "first"]}))
    load(docker, images.docker_archive("moving:1", {"Cmd": ["echo", "second"]}))
    assert "Total reclaimed space" in docker.ok("image", "prune", "-f")
    assert docker.ok("images", "-q", "--filter", "dangling=true") == ""


def test_import(docker: Docker) -> None:
    tree = images.pack({"bin/": b"", "hello": b"hello"})
    image = docker.ok(
        "import", "--change", 'CMD ["/hello"]', "--change", "ENV A=b", "-m", "by hand", "-", "flat:1", stdin=tree
    )
    assert image.startswith("sha256:")
    assert docker.ok("inspect", "--format", "{{json .Config.Cmd}} {{json .Config.Env}} {{.Comment}}", "flat:1") == (
        '["/hello"] ["A=b"] by hand'
    )


def test_export_and_import_again(docker: Docker, name: str) -> None:
    docker.ok("run", "--name", name, "busybox", "sh", "-c", "echo kept > /kept")
    docker.ok("import", "-", "again:1", stdin=docker("export", name).stdout)
    assert docker.ok("run", "--rm", "again:1", "cat", "/kept") == "kept"


def test_save_and_load_again(docker: Docker) -> None:
    load(docker, images.docker_archive("kept:1", {"Cmd": ["echo", "kept"]}, images.pack({"f": b"x"})))
    archive = docker("save", "kept:1").stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert {"manifest.json"} <= set(tar.getnames())
    docker.ok("rmi", "kept:1")
    load(docker, archive)
    assert docker.ok("run", "--rm", "kept:1") == "kept"


def test_commit(docker: Docker, name: str) -> None:
    docker.ok("run", "--name", name, "busybox", "sh", "-c", "echo changed > /changed")
    docker.ok("commit", "-c", 'CMD ["cat", "/changed"]', name, "committed:1")
    assert docker.ok("run", "--rm", "committed:1") == "changed"


@pytest.mark.ours
def test_the_classic_layout_is_kept_for_tools(docker: Docker, engine: Engine, name: str) -> None:
    container = docker.ok("run", "-d", "--name", name, "busybox", "sleep", "60")
    (found,) = engine.data.glob(f"image/*/layerdb/mounts/{container}/mount-id")
    assert found.read_text()
