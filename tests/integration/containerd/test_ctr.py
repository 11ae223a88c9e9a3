"""The real `ctr` against our socket, and against Debian's containerd: the same answers."""

import gzip
import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.harness.images import docker_archive, pack
from tests.harness.wait import until
from tests.integration.daemon import Daemon

BUSYBOX = "docker.io/library/busybox:latest"
HELLO = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
TOPICS = {"/images/create", "/snapshot/prepare", "/containers/create", "/containers/delete", "/images/delete"}
ZERO = "sha256:" + "0" * 64


@pytest.fixture
def image(daemon: Daemon, archive: Path) -> str:
    daemon.ok("images", "import", str(archive))
    return BUSYBOX


def top(daemon: Daemon) -> str:
    """The committed snapshot of the image."""
    rows = daemon.rows("snapshots", "ls")
    return next(row[0] for row in rows if row[-1] == "Committed" and row[0].startswith("sha256:"))


class TestDaemon:
    def test_version_has_both_sides(self, daemon: Daemon) -> None:
        said = daemon.ok("version")
        assert "Client:" in said
        assert "Server:" in said
        assert "UUID:" in said

    def test_plugins_are_listed_once(self, daemon: Daemon) -> None:
        rows = [tuple(row[:2]) for row in daemon.rows("plugins", "ls")]
        assert len(rows) == len(set(rows))
        for plugin in (("io.containerd.snapshotter.v1", "overlayfs"), ("io.containerd.content.v1", "content")):
            assert plugin in rows
        filtered = daemon.rows("plugins", "ls", "type==io.containerd.snapshotter.v1,id==native")
        assert [row[1] for row in filtered] == ["native"]


class TestNamespaces:
    def test_create_label_and_remove(self, daemon: Daemon) -> None:
        daemon.ok("namespaces", "create", "n1", "a=b")
        daemon.ok("namespaces", "label", "n1", "c=d")
        assert ["n1", "a=b,c=d"] in daemon.rows("namespaces", "ls")
        assert "already exists" in daemon.fails("namespaces", "create", "n1")
        daemon.ok("namespaces", "rm", "n1")
        assert "n1" not in daemon.ok("namespaces", "ls", "-q").split()

    def test_bad_name_is_refused(self, daemon: Daemon) -> None:
        assert "must match" in daemon.fails("namespaces", "create", "a/b")

    def test_full_one_is_not_removed(self, daemon: Daemon, image: str) -> None:
        assert "must be empty" in daemon.fails("namespaces", "rm", "default")


class TestImages:
    def test_import_lists_and_unpacks(self, daemon: Daemon, image: str) -> None:
        assert image in daemon.ok("images", "ls", "-q").split()
        assert "complete" in daemon.ok("images", "check")
        assert top(daemon)

    def test_import_again_changes_nothing(self, daemon: Daemon, image: str, archive: Path) -> None:
        before = daemon.ok("content", "ls", "-q")
        daemon.ok("images", "import", str(archive))
        assert daemon.ok("content", "ls", "-q") == before

    def test_import_of_a_docker_archive_of_two_layers(self, daemon: Daemon, tmp_path: Path) -> None:
        path = tmp_path / "two.tar"
        second = pack({"etc/": b"", "etc/added": b"new", "bin/.wh.sh": b"", "tmp/": b"", "tmp/.wh..wh..opq": b""})
        path.write_bytes(docker_archive("docker.io/library/two:latest", {"Cmd": ["ls"]}, second))
        daemon.ok("images", "import", str(path))
        said = daemon.ok("snapshots", "tree")
        assert len(said.splitlines()) >= 2
        daemon.ok("images", "rm", "--sync", "docker.io/library/two:latest")

    def test_tag_label_filter_and_remove(self, daemon: Daemon, image: str) -> None:
        daemon.ok("images", "tag", image, "other:1")
        assert "already exists" in daemon.fails("images", "tag", image, "other:1")
        daemon.ok("images", "label", "other:1", "x=y")
        assert daemon.ok("images", "ls", "-q", "labels.x==y").split() == ["other:1"]
        daemon.ok("images", "rm", "other:1")
        assert "other:1" not in daemon.ok("images", "ls", "-q").split()

    def test_export_can_be_imported_again(self, daemon: Daemon, image: str, tmp_path: Path) -> None:
        path = tmp_path / "out.tar"
        daemon.ok("images", "export", str(path), image)
        with tarfile.open(path) as archive:
            assert {"index.json", "manifest.json", "oci-layout"} <= set(archive.getnames())
        daemon.ok("images", "import", str(path), namespace="again")
        assert daemon.ok("images", "ls", "-q", namespace="again").split() == [image]
        daemon.ok("images", "rm", "--sync", image, namespace="again")

    def test_removing_the_last_name_removes_all(self, daemon: Daemon, image: str) -> None:
        daemon.ok("images", "rm", "--sync", image)
        until(lambda: not daemon.rows("content", "ls") and not daemon.rows("snapshots", "ls"), "blobs and snapshots go")


class TestContent:
    def test_blobs_are_what_their_names_say(self, daemon: Daemon, image: str) -> None:
        digests = daemon.ok("content", "ls", "-q").split()
        assert len(digests) >= 3
        for digest in digests:
            data = daemon.ctr("content", "get", digest).stdout
            assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest

    def test_missing_blob_is_not_found(self, daemon: Daemon) -> None:
        assert "not found" in daemon.fails("content", "get", ZERO)

    def test_ingest_verifies_and_resumes(self, daemon: Daemon, tmp_path: Path) -> None:
        said = daemon.fails("content", "ingest", "--expected-digest", ZERO, "r1", stdin=b"hello\n")
        assert "unexpected commit digest" in said
        said = daemon.fails("content", "ingest", "--expected-size", "3", "r2", stdin=b"hello\n")
        assert "failed size validation" in said
        assert {row[0] for row in daemon.rows("content", "active")} == {"r1", "r2"}
        path = tmp_path / "hello"
        path.write_text("hello\n")
        for ref in ("r1", "r2"):
            with path.open() as file:
                done = subprocess.run([*daemon.client(), "content", "ingest", "--expected-size", "6", ref], stdin=file)
            assert done.returncode == 0
        assert daemon.ok("content", "get", HELLO) == "hello\n"
        assert daemon.rows("content", "active") == []
        daemon.ok("content", "label", HELLO, "a=b")
        assert "a=b" in daemon.ok("content", "ls")
        daemon.ok("content", "rm", HELLO)
        assert "not found" in daemon.fails("content", "get", HELLO)

    def test_large_blob(self, daemon: Daemon, tmp_path: Path) -> None:
        data = bytes(range(256)) * 40_000
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"

        def comes_back() -> bool:
            """Nothing holds the blob, so that a collection may take it in between."""
            daemon.ctr("content", "ingest", "--expected-digest", digest, "big", stdin=data)
            return daemon.ctr("content", "get", digest).stdout == data

        until(comes_back, "the blob is read as it was written")


class TestSnapshots:
    def test_life_of_a_snapshot(self, daemon: Daemon, image: str) -> None:
        base = top(daemon)
        assert "mount -t overlay" in daemon.ok("snapshots", "prepare", "--target", "/mnt/x", "s1", base)
        assert "already exists" in daemon.fails("snapshots", "prepare", "s1", base)
        assert "does not exist: not found" in daemon.fails("snapshots", "prepare", "s2", "missing")
        assert "is not committed snapshot" in daemon.fails("snapshots", "prepare", "s2", "s1")
        assert "upperdir=" in daemon.ok("snapshots", "mounts", "/mnt/x", "s1")
        daemon.ok("snapshots", "commit", "c1", "s1")
        assert daemon.json("snapshots", "info", "c1")["Parent"] == base
        daemon.ok("snapshots", "prepare", "s3", "c1")
        assert "cannot remove snapshot" in daemon.fails("snapshots", "rm", "c1")
        daemon.ok("snapshots", "label", "s3", "hello=world")
        assert daemon.json("snapshots", "info", "s3")["Labels"]["hello"] == "world"
        daemon.ok("snapshots", "rm", "s3")
        daemon.ok("snapshots", "rm", "c1")

    def test_view_is_read_only(self, daemon: Daemon, image: str) -> None:
        def mounts() -> str:
            """Nobody refers to a view of ctr's: a collection may take it as soon as it is made."""
            daemon.ctr("snapshots", "view", "v1", top(daemon))
            return daemon.ctr("snapshots", "mounts", "/mnt/x", "v1").stdout.decode()

        said = until(mounts, "a view is mounted")
        assert "ro" in said.split("-o ")[1].split(",")
        daemon.ctr("snapshots", "rm", "v1")

    def test_usage_and_tree(self, daemon: Daemon, image: str) -> None:
        rows = {row[0]: row for row in daemon.rows("snapshots", "usage")}
        assert float(rows[top(daemon)][1]) > 0
        assert top(daemon) in daemon.ok("snapshots", "tree")

    def test_other_snapshotter_unpacks_too(self, daemon: Daemon, archive: Path) -> None:
        daemon.ok("images", "import", "--snapshotter", "native", str(archive))
        rows = [line.split() for line in daemon.ok("snapshots", "--snapshotter", "native", "ls").splitlines()[1:]]
        assert [row[-1] for row in rows] == ["Committed"]
        assert "snapshotter not loaded: missing" in daemon.fails("snapshots", "--snapshotter", "missing", "ls")

    def test_changes_become_a_layer(self, daemon: Daemon, image: str, tmp_path: Path) -> None:
        daemon.ok("snapshots", "prepare", "s4", top(daemon))
        command = daemon.ok("snapshots", "mounts", str(tmp_path), "s4")
        subprocess.run(command, shell=True, check=True)
        try:
            (tmp_path / "etc").mkdir(exist_ok=True)
            (tmp_path / "etc/new").write_text("new")
            (tmp_path / "bin/busybox").unlink()
        finally:
            subprocess.run(["umount", str(tmp_path)], check=True)
        done = daemon.ctr("snapshots", "diff", "--media-type", "application/vnd.oci.image.layer.v1.tar", "s4")
        assert done.returncode == 0, done.stderr
        assert {"etc/new", "bin/.wh.busybox"} <= set(listed(done.stdout))
        assert listed(gzip.decompress(daemon.ctr("snapshots", "diff", "s4").stdout)) == listed(done.stdout)
        daemon.ok("snapshots", "rm", "s4")


class TestContainers:
    def test_create_list_inspect_and_remove(self, daemon: Daemon, image: str) -> None:
        daemon.ok("containers", "create", image, "c1")
        assert daemon.rows("containers", "ls") == [["c1", image, "io.containerd.runc.v2"]]
        assert "already exists" in daemon.fails("containers", "create", image, "c1")
        daemon.ok("containers", "label", "c1", "q=w")
        info = daemon.json("containers", "info", "c1")
        assert (info["Image"], info["SnapshotKey"], info["Labels"]["q"]) == (image, "c1", "w")
        assert info["Spec"]["process"]["args"] == ["sh"]
        daemon.ok("containers", "rm", "c1")
        assert daemon.rows("containers", "ls") == []
        assert "c1" not in [row[0] for row in daemon.rows("snapshots", "ls")]
        assert "not found" in daemon.fails("containers", "info", "c1")

    def test_container_holds_its_image_file_system(self, daemon: Daemon, image: str) -> None:
        daemon.ok("containers", "create", image, "c2")
        base = top(daemon)
        daemon.ok("images", "rm", "--sync", image)
        assert base in daemon.ok("snapshots", "ls")
        daemon.ok("containers", "rm", "c2")
        until(lambda: base not in daemon.ok("snapshots", "ls"), "the snapshot goes with its container")


class TestLeases:
    def test_create_list_and_remove(self, daemon: Daemon) -> None:
        daemon.ok("leases", "create", "--id", "l1", "a=b")
        [row] = [row for row in daemon.rows("leases", "ls") if row[0] == "l1"]
        assert "a=b" in row[-1]
        assert "already exists" in daemon.fails("leases", "create", "--id", "l1")
        daemon.ok("leases", "rm", "l1")
        assert "l1" not in daemon.ok("leases", "ls", "-q").split()


class TestEvents:
    def test_what_happens_is_told(self, daemon: Daemon, archive: Path) -> None:
        command = ["ctr", "-a", str(daemon.address), "-n", "told", "events"]
        with (daemon.home / "events").open("wb") as out, subprocess.Popen(command, stdout=out) as watcher:
            try:
                until(lambda: tells(daemon), "events arrive")
                daemon.ok("images", "import", str(archive), namespace="told")
                daemon.ok("containers", "create", BUSYBOX, "e1", namespace="told")
                daemon.ok("containers", "rm", "e1", namespace="told")
                daemon.ok("images", "rm", "--sync", BUSYBOX, namespace="told")
                until(lambda: set((daemon.home / "events").read_text().split()) >= TOPICS, "all topics are there")
            finally:
                watcher.terminate()


def listed(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


def tells(daemon: Daemon) -> bool:
    """Make something happen until the watcher has seen it."""
    if daemon.ctr("namespaces", "create", "told").returncode:
        daemon.ok("namespaces", "label", "told", "again=1")
    return bool((daemon.home / "events").read_text())
