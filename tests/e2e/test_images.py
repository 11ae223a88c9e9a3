"""Images: load, import, tag, remove, inspect, history; and what a container takes from its image's config."""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from deploy import image
from tests.fakes.registry import send, serving
from tests.harness import images
from tests.harness.cli import Docker
from tests.harness.engine import REFERENCE, Engine, busybox
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


def test_load_of_an_archive_from_before_manifests(docker: Docker) -> None:
    one, two = ("1" * 64, "2" * 64)
    documents = {one: {"docker_version": "1.6.0"},
                 two: {"docker_version": "1.6.0", "parent": one, "config": {"Cmd": ["cat", "/f"]},
                       "container_config": {"Cmd": ["touch", "/f"]}}}
    packed = {one: image.layer(), two: images.pack({"f": b"old"})}
    files = {"repositories": json.dumps({"ancient": {"1": two, "base": one}}).encode()}
    for each, document in documents.items():
        text = json.dumps({"id": each, "created": "2014-01-01T00:00:00Z", "os": "linux", **document}).encode()
        files |= {f"{each}/": b"", f"{each}/VERSION": b"1.0", f"{each}/json": text, f"{each}/layer.tar": packed[each]}
    load(docker, images.pack(files))
    assert docker.ok("run", "--rm", "ancient:1") == "old"
    assert docker.ok("history", "--format", "{{.CreatedBy}}.", "ancient:1").splitlines() == ["touch /f.", "."]
    layers = docker.ok("image", "inspect", "-f", "{{len .RootFS.Layers}}", "ancient:1", "ancient:base")
    assert layers.split() == ["2", "1"]


@pytest.mark.ours  # docker.io 20.10 has no zstd
def test_load_of_a_zstd_archive(docker: Docker) -> None:
    assert load(docker, zstandard.compress(busybox().read_bytes())) == "Loaded image: busybox:latest"


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


def test_sizes_are_sums_of_files(docker: Docker) -> None:
    """Not of disk blocks: each inode once, a link by its target's length, directories not at all."""
    if docker.ok("info", "-f", "{{.Driver}}").strip() != "overlay2":
        pytest.skip("other drivers add up what the archive says of files")
    below = images.pack({"d/": b"", "d/one": b"x" * 5000, "two": b"y" * 7, "link": images.link("d/one"),
                         "hard": images.link("d/one", tarfile.LNKTYPE)})
    above = images.pack({"three": b"z", ".wh.two": b""})
    for name, layers in (("sizes:1", [below]), ("sizes:2", [below, above])):
        load(docker, images.docker_archive(name, {}, *layers, base=False))
    inspected = docker.ok("image", "inspect", "-f", "{{.Size}}", "sizes:1", "sizes:2").split()
    assert inspected == ["5012", "5013"]
    assert docker.ok("history", "--human=false", "--format", "{{.Size}}", "sizes:2").split() == ["1", "5012"]
    rows = docker.ok("system", "df", "-v", "--format", "{{range .Images}}{{.Repository}}:{{.Tag}} {{.SharedSize}} "
                     "{{.UniqueSize}}\n{{end}}").splitlines()
    assert {"sizes:1 5.012kB 0B", "sizes:2 5.012kB 1B"} <= set(rows)


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


def test_parents_are_saved_and_loaded(docker: Docker, name: str) -> None:
    """Of images that are in one archive."""
    docker.ok("run", "--name", name, "busybox", "touch", "/first")
    docker.ok("commit", name, "parent:1")
    docker.ok("run", "--name", f"{name}-2", "parent:1", "touch", "/second")
    docker.ok("commit", f"{name}-2", "child:1")
    docker.ok("rm", name, f"{name}-2")
    both, alone = docker("save", "parent:1", "child:1").stdout, docker("save", "child:1").stdout
    parent = docker.ok("image", "inspect", "-f", "{{.Id}}", "parent:1")
    for archive, wanted in ((alone, ""), (both, parent)):
        docker.ok("rmi", "child:1", "parent:1")
        load(docker, archive)
        assert docker.ok("image", "inspect", "-f", "{{.Parent}}", "child:1") == wanted
        if not wanted:
            docker.ok("tag", "busybox", "parent:1")
    docker.ok("rmi", "child:1", "parent:1")


def test_a_repositorys_name_saves_all_its_tags(docker: Docker, engine: Engine) -> None:
    for name in ("two:1", "two:2"):
        docker.ok("tag", "busybox", name)
    docker.ok("save", "-o", str(engine.root / "two.tar"), "two", "busybox:latest")
    docker.ok("rmi", "two:1", "two:2")
    assert set(docker.ok("load", "-i", str(engine.root / "two.tar")).splitlines()) == {
        "Loaded image: two:1", "Loaded image: two:2", "Loaded image: busybox:latest"
    }


def test_commit(docker: Docker, name: str) -> None:
    docker.ok("run", "--name", name, "busybox", "sh", "-c", "echo changed > /changed")
    docker.ok("commit", "-c", 'CMD ["cat", "/changed"]', name, "committed:1")
    assert docker.ok("run", "--rm", "committed:1") == "changed"
    steps = docker.ok("history", "--no-trunc", "--format", "{{.CreatedBy}}", "committed:1").splitlines()
    assert steps[0] == "sh -c echo changed > /changed", "what was run, not what the image is to run"


def test_changes_know_the_variables_of_the_config(docker: Docker, name: str) -> None:
    docker.ok("run", "--name", name, "-e", "X=1", "busybox", "true")
    changes = ("ENV PATH=$PATH:/more Y=${X}2", "LABEL \"a b\"='$X'", "WORKDIR a", "WORKDIR b", "ENTRYPOINT run")
    docker.ok("commit", *(word for each in changes for word in ("-c", each)), name, "committed:1")
    found = json.loads(docker.ok("image", "inspect", "-f", "{{json .Config}}", "committed:1"))
    env = dict(each.split("=", 1) for each in found["Env"])
    assert env["Y"] == "12" and env["PATH"].startswith("/") and env["PATH"].endswith(":/more")
    assert found["Labels"] == {"a b": "$X"} and found["WorkingDir"] == "/a/b"
    assert found["Entrypoint"] == ["/bin/sh", "-c", "run"] and not found.get("Cmd")


def test_a_container_without_changes_adds_no_layer(docker: Docker, name: str) -> None:
    docker.ok("run", "--name", name, "busybox", "true")
    docker.ok("commit", "-m", "nothing", name, "committed:1")
    counts = docker.ok("image", "inspect", "-f", "{{len .RootFS.Layers}}", "committed:1", "busybox").split()
    assert counts[0] == counts[1]
    assert docker.ok("history", "--format", "{{.Size}} {{.Comment}}", "committed:1").splitlines()[0] == "0B nothing"


@pytest.mark.ours
def test_the_classic_layout_is_kept_for_tools(docker: Docker, engine: Engine, name: str) -> None:
    container = docker.ok("run", "-d", "--name", name, "busybox", "sleep", "60")
    (found,) = engine.data.glob(f"image/*/layerdb/mounts/{container}/mount-id")
    assert found.read_text()


@pytest.mark.usefixtures("images_gone")
class TestLocal:
    """Images made here: commits and their parents, removal by Docker's rules, platforms."""

    def commit(self, docker: Docker, name: str, *words: str) -> str:
        docker.ok("run", "-d", "--name", name, "busybox", "sh", "-c", f"echo {name} > /new; echo done; sleep 300")
        until(lambda: docker.ok("logs", name) == "done", "its file is written")
        return docker.ok("commit", *words, name, *([f"made:{name}"]))

    def test_a_parent_is_remembered(self, docker: Docker, name: str) -> None:
        made = self.commit(docker, name, "-a", "Me <me@x>", "-m", "hello", "-c", "ENV A=b", "-c", "EXPOSE 80")
        base = docker.ok("image", "inspect", "-f", "{{.Id}}", "busybox")
        form = "{{.Parent}} {{.Author}} {{.Comment}} {{json .Config.ExposedPorts}} {{index .Config.Env 1}}"
        assert docker.ok("image", "inspect", "-f", form, made) == f'{base} Me <me@x> hello {{"80/tcp":{{}}}} A=b'
        ids = docker.ok("history", "-q", "--no-trunc", made).split()
        assert ids[0] == made and ids[1] == base
        docker.ok("rm", "-f", name)
        for force in ((), ("-f",)):
            said = docker.fails("rmi", *force, base[7:19])
            assert said.endswith("(cannot be forced) - image has dependent child images")

    def test_a_forced_removal_under_a_running_container_untags(self, docker: Docker, name: str) -> None:
        made = self.commit(docker, name)
        docker.ok("rm", "-f", name)
        docker.ok("run", "-d", "--name", name, made, "sleep", "300")
        said = docker.fails("rmi", f"made:{name}")
        assert f'unable to remove repository reference "made:{name}" (must force)' in said
        assert docker.ok("rmi", "-f", f"made:{name}") == f"Untagged: made:{name}"
        assert made in docker.ok("images", "-q", "--no-trunc", "-f", "dangling=true")
        assert docker.ok("exec", name, "cat", "/new") == name
        assert "is being used by running container" in docker.fails("rmi", "-f", made)
        docker.ok("rm", "-f", name)
        docker.ok("rmi", made)

    def test_nameless_parents_go_with_the_last_child(self, docker: Docker, name: str) -> None:
        one = self.commit(docker, name)
        docker.ok("run", "--name", f"{name}-2", one, "true")
        two = docker.ok("commit", f"{name}-2", f"made:{name}-2")
        docker.ok("rm", "-f", name, f"{name}-2")
        assert docker.ok("rmi", f"made:{name}") == f"Untagged: made:{name}"
        assert one not in docker.ok("images", "-q", "--no-trunc")
        assert one in docker.ok("images", "-aq", "--no-trunc")
        lines = docker.ok("rmi", f"made:{name}-2").splitlines()
        assert f"Deleted: {two}" in lines and f"Deleted: {one}" in lines

    def test_a_prune_says_what_it_won(self, docker: Docker, name: str) -> None:
        made = self.commit(docker, name)
        docker.ok("rm", "-f", name)
        docker.ok("rmi", f"made:{name}")
        assert made not in docker.ok("images", "-aq", "--no-trunc")
        self.commit(docker, f"{name}-b")
        docker.ok("rm", "-f", f"{name}-b")
        out = docker.ok("image", "prune", "-af")
        assert f"untagged: made:{name}-b" in out and "untagged: busybox:latest" in out
        assert docker.ok("images", "-aq") == ""
        assert "Total reclaimed space: 0B" not in out

    def test_a_tag_that_looks_like_a_digest(self, docker: Docker) -> None:
        said = docker.fails("tag", "busybox", "sha256:" + "a" * 64)
        assert said.endswith("refusing to create an ambiguous tag using digest algorithm as name")

    def test_healthchecks_are_changed(self, docker: Docker, name: str) -> None:
        made = self.commit(docker, name, "-c", "HEALTHCHECK --interval=5s --retries=2 CMD true")
        form = "{{json .Config.Healthcheck}}"
        assert json.loads(docker.ok("image", "inspect", "-f", form, made)) == {
            "Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000, "Retries": 2
        }
        assert docker.fails("commit", "-c", "RUN x", name).endswith("run is not a valid change command")

    @pytest.mark.ours
    def test_another_platform_is_not_described(self, docker: Docker) -> None:
        for words in (("image", "inspect"), ("history",)):
            said = docker.fails(*words, "--platform", "linux/s390x", "busybox")
            assert "does not match the specified platform (linux/s390x)" in said
            docker.ok(*words, "--platform", "linux/amd64", "busybox")

    def test_another_platform_is_not_there(self, docker: Docker, engine: Engine) -> None:
        reply = engine.api("POST", "/containers/create", {"Image": "busybox"}, platform="linux/arm64")
        assert reply.status == 404
        assert reply.message.endswith("(linux/amd64) does not match the specified platform (linux/arm64)")
        assert "does not match the specified platform" in docker.fails("save", "--platform", "linux/arm64", "busybox")
        assert len(docker("save", "--platform", "linux/amd64", "busybox").stdout) > 1_000_000

    def test_an_import_for_another_platform(self, docker: Docker) -> None:
        layer = images.pack({"f": b"x"})
        made = docker.ok("import", "--platform", "linux/arm/v7", "-", "imp:arm", stdin=layer)
        assert made.startswith("sha256:")
        if not REFERENCE:  # 20.10 forgets it
            assert docker.ok("image", "inspect", "-f", "{{.Architecture}} {{.Variant}}", "imp:arm") == "arm v7"

    @pytest.mark.ours
    def test_an_import_from_a_url(self, docker: Docker, engine: Engine) -> None:
        with serving(engine.network, 5200) as web:
            found = {"/root.tar": (200, images.pack({"f": b"x"}))}
            web.rules.append(lambda handler: bool(send(handler, *found.get(handler.path, (404, b"")))) or True)
            out = docker.ok("import", f"http://{web.address}/root.tar", "imp:url")
            assert out.splitlines()[0] == f"Downloading from http://{web.address}/root.tar"
            assert docker.ok("image", "inspect", "-f", "{{.Comment}}", "imp:url").startswith("Imported from http://")
            assert "404" in docker.fails("import", f"http://{web.address}/nothing")

    @pytest.mark.ours
    def test_layers_are_where_inspect_says(self, docker: Docker, name: str) -> None:
        made = self.commit(docker, name)
        data = json.loads(docker.ok("image", "inspect", "-f", "{{json .GraphDriver.Data}}", made))
        assert (Path(data["UpperDir"]) / "new").read_text() == f"{name}\n"
        assert (Path(data["LowerDir"]) / "bin/busybox").exists()
