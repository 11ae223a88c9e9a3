"""`docker cp`, both ways, running and stopped; and the archive endpoints behind it."""

import base64
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.harness.cli import Docker
from tests.harness.http import API


@pytest.fixture(params=["running", "stopped"])
def box(request: pytest.FixtureRequest, docker: Docker, name: str) -> str:
    script = "mkdir -p /d/e; ln -s ../../../../../../etc/passwd /out; echo hi > /d/f; sleep 600"
    docker.ok("run", "-d", "--name", name, "-v", "/volume", "busybox", "sh", "-c", script)
    docker.ok("exec", name, "sh", "-c", "while [ ! -e /d/f ]; do sleep 0.02; done")
    if request.param == "stopped":
        docker.ok("kill", name)
        docker.ok("wait", name)
    return name


def read(docker: Docker, box: str, path: str) -> bytes:
    """The one file at `path`, by `cp … -`."""
    archive = docker("cp", f"{box}:{path}", "-")
    assert archive.code == 0, str(archive)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        member = tar.extractfile(tar.getmembers()[0])
        assert member
        return member.read()


def test_a_file_out(docker: Docker, box: str, tmp_path: Path) -> None:
    docker.ok("cp", f"{box}:/d/f", str(tmp_path))
    assert (tmp_path / "f").read_text() == "hi\n"
    docker.ok("cp", f"{box}:/d/f", str(tmp_path / "g"))
    assert (tmp_path / "g").read_text() == "hi\n"


def test_a_directory_out(docker: Docker, box: str, tmp_path: Path) -> None:
    docker.ok("cp", f"{box}:/d", str(tmp_path))
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["e", "f"]
    docker.ok("cp", f"{box}:/d/.", str(tmp_path / "d"))
    assert (tmp_path / "d" / "f").read_text() == "hi\n"


def test_a_file_in(docker: Docker, box: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"\0\1" * 50_000)
    docker.ok("cp", str(tmp_path / "in"), f"{box}:/d/e/")
    assert read(docker, box, "/d/e/in") == b"\0\1" * 50_000
    docker.ok("cp", str(tmp_path / "in"), f"{box}:/other")
    assert read(docker, box, "/other") == b"\0\1" * 50_000


def test_a_directory_in(docker: Docker, box: str, tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "leaf").write_text("leaf")
    (tmp_path / "tree" / "link").symlink_to("sub/leaf")
    docker.ok("cp", str(tmp_path / "tree"), f"{box}:/d")
    assert read(docker, box, "/d/tree/sub/leaf") == b"leaf"
    docker.ok("cp", f"{box}:/d/tree/link", str(tmp_path / "back"))
    assert (tmp_path / "back").readlink() == Path("sub/leaf")
    docker.ok("cp", "-L", f"{box}:/d/tree/link", str(tmp_path / "followed"))
    assert (tmp_path / "followed").read_text() == "leaf"


def test_into_a_volume(docker: Docker, box: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x")
    docker.ok("cp", str(tmp_path / "in"), f"{box}:/volume/in")
    source = docker.inspect(box, "{{(index .Mounts 0).Source}}")
    assert (Path(source) / "in").read_text() == "x"
    assert read(docker, box, "/volume/in") == b"x"


def test_a_tar_stream_in(docker: Docker, box: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("owned")
        entry.uid, entry.gid, entry.mode, entry.mtime, entry.size = 1000, 1001, 0o640, 1_600_000_000, 3
        tar.addfile(entry, io.BytesIO(b"abc"))
    docker.ok("cp", "-a", "-", f"{box}:/d", stdin=out.getvalue())
    archive = docker("cp", f"{box}:/d/owned", "-").stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (got,) = tar.getmembers()
    assert (got.uid, got.gid, got.mode & 0o777, got.mtime, got.size) == (1000, 1001, 0o640, 1_600_000_000, 3)


def test_a_missing_source(docker: Docker, box: str, tmp_path: Path) -> None:
    container = docker.inspect(box, "{{.Id}}")
    text = docker.fails("cp", f"{box}:/not/there", str(tmp_path), code=1)
    assert "Could not find the file /not/there in container" in text and (container in text or box in text)
    assert "no such file" in docker.fails("cp", str(tmp_path / "nothing"), f"{box}:/", code=1)


def test_a_missing_target_directory(docker: Docker, box: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x")
    assert docker.fails("cp", str(tmp_path / "in"), f"{box}:/not/there/", code=1)


def test_a_missing_container(docker: Docker, tmp_path: Path) -> None:
    assert "No such container: not-there" in docker.fails("cp", "not-there:/etc/passwd", str(tmp_path), code=1)


def test_links_inside_lead_inside(docker: Docker, box: str, tmp_path: Path) -> None:
    """An absolute link of the container is resolved beneath its root, never the host's."""
    (tmp_path / "link").symlink_to("/tmp")
    (tmp_path / "file").write_text("inside")
    docker.ok("cp", str(tmp_path / "link"), f"{box}:/to-tmp")
    docker.ok("cp", str(tmp_path / "file"), f"{box}:/to-tmp/landed-{box}")
    assert read(docker, box, f"/tmp/landed-{box}") == b"inside"
    assert not Path(f"/tmp/landed-{box}").exists()


def test_a_link_to_a_host_file_reads_the_containers(docker: Docker, box: str, tmp_path: Path) -> None:
    docker.ok("cp", "-L", f"{box}:/out", str(tmp_path / "passwd"))
    assert "nobody:x:65534:65534:nobody:/nonexistent" in (tmp_path / "passwd").read_text()


def test_read_only_root_is_refused(docker: Docker, name: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x")
    docker.ok("run", "-d", "--read-only", "--name", name, "busybox", "sleep", "60")
    assert "container rootfs is marked read-only" in docker.fails("cp", str(tmp_path / "in"), f"{name}:/in", code=1)


def test_a_files_facts(api: API) -> None:
    box = api.create("true")
    reply = api("HEAD", f"/containers/{box}/archive", path="/bin/sh")
    facts = json.loads(base64.b64decode(reply.headers["x-docker-container-path-stat"]))
    assert reply.status == 200 and facts["name"] == "sh" and facts["linkTarget"] == "/bin/busybox"
    facts = json.loads(
        base64.b64decode(api("GET", f"/containers/{box}/archive", path="/etc").headers["x-docker-container-path-stat"])
    )
    assert facts["mode"] & 1 << 31


def test_a_file_does_not_become_a_directory(api: API) -> None:
    box = api.create("true")
    with_dir = io.BytesIO()
    with tarfile.open(fileobj=with_dir, mode="w") as tar:
        entry = tarfile.TarInfo("passwd")
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    reply = api("PUT", f"/containers/{box}/archive", with_dir.getvalue(), path="/etc", noOverwriteDirNonDir="true")
    assert reply.status in (400, 500) and "cannot overwrite" in reply.message.lower()


def test_an_archive_into_a_file_is_refused(api: API) -> None:
    box = api.create("true")
    reply = api("PUT", f"/containers/{box}/archive", b"\0" * 1024, path="/etc/passwd")
    assert reply.status in (400, 500) and "not a directory" in reply.message


def test_nonsense_instead_of_an_archive(api: API) -> None:
    box = api.create("true")
    assert api("PUT", f"/containers/{box}/archive", b"this is not a tar" * 100, path="/").status in (400, 500)
    assert api("GET", f"/containers/{box}/json").status == 200


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_compressed_archives(api: API, kind: str) -> None:
    box = api.create("true")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{kind}") as tar:  # type: ignore[call-overload]
        entry = tarfile.TarInfo("packed")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"data"))
    assert api("PUT", f"/containers/{box}/archive", out.getvalue(), path="/").status == 200
    body = api("GET", f"/containers/{box}/archive", path="/packed").body
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        got = tar.extractfile("packed")
        assert got and got.read() == b"data"
