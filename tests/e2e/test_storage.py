"""Storage drivers through the docker CLI: containers and images on each that runs here; which one is chosen,
and its options; moving between them.
"""

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness import images, loop
from tests.harness.engine import Engine
from tests.harness.wait import until

pytestmark = pytest.mark.ours
STATUS = {
    "overlay2": ["Backing Filesystem", "Supports d_type", "Using metacopy", "Native Overlay Diff", "userxattr"],
    "overlay": ["Backing Filesystem", "Supports d_type"], "btrfs": ["Btrfs"], "vfs": [],
}
"""Docker's rows of `docker info`. Docker's btrfs says its build and library version, which there is none of here."""
GRAPH = {
    "overlay2": ("ID LowerDir MergedDir UpperDir WorkDir", "MergedDir UpperDir WorkDir"),
    "overlay": ("LowerDir MergedDir UpperDir WorkDir", "RootDir"), "btrfs": ("", ""), "vfs": ("", ""),
}
"""Keys of GraphDriver.Data: of a container, of an image of one layer."""
KINDS = """
mkdir -p /k/sub; cd /k; echo one >a; chown 12:34 a; chmod 4640 a; ln a b; ln -s a soft; mkfifo -m 600 pipe
mknod -m 666 null c 1 3; dd if=/dev/zero of=sparse bs=1 count=0 seek=4M 2>/dev/null; echo deep >sub/deep
chown 7:8 sub; chmod 1777 sub; chmod 700 /bin/busybox; echo x:x:9:9:::: >>/etc/passwd
touch -hd @1000000000 a; touch -hd @1000000001 soft; touch -hd @1000000002 pipe; touch -hd @1000000003 null
touch -hd @1000000005 sub
"""
SHOW = """
cd /; stat -c "%n %a %u:%g %F %Y" /k/a /k/b /k/null /k/pipe /k/soft /k/sub; stat -c "%n %a %u:%g" /bin/busybox
stat -c "%n %s" /k/sparse; test /k/a -ef /k/b && echo same
"""


@pytest.fixture(scope="module", params=STATUS)
def on(request: pytest.FixtureRequest) -> Iterator[tuple[str, Engine]]:
    """An engine on each driver that this machine has, with busybox and an image of several layers."""
    driver = str(request.param)
    if driver == "btrfs" and (reason := loop.missing("btrfs")):
        pytest.skip(reason)
    with ExitStack() as stack:
        engine = Engine("-s", driver)
        stack.callback(engine.close)
        if driver == "btrfs":
            stack.enter_context(loop.mounted("btrfs", engine.data))
        engine.start()
        stack.callback(engine.stop)
        engine.load()
        yield driver, engine


def layered(count: int) -> bytes:
    """An image on busybox whose every layer adds a file, changes one, and removes one of the layer before."""
    more = [images.pack({f"f{n}": b"x", "same": str(n).encode(), **({f".wh.f{n - 1}": b""} if n else {})})
            for n in range(count)]
    return images.docker_archive("layered:1", {"Cmd": ["sh"]}, *more)


def run(engine: Engine, *words: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(
        ["docker", "-H", f"unix://{engine.socket}", *words], input=stdin, check=True, capture_output=True
    ).stdout


def names(archive: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {name.rstrip("/") for name in tar.getnames()}


class TestEach:
    def test_info_names_it(self, on: tuple[str, Engine]) -> None:
        driver, engine = on
        assert engine.docker.ok("info", "-f", "{{.Driver}}") == driver
        rows = json.loads(engine.docker.ok("info", "-f", "{{json .DriverStatus}}")) or []
        assert [key for key, _ in rows] == STATUS[driver]
        text = engine.docker.ok("info")
        assert all(f"  {key}: {value}" in text for key, value in rows)

    def test_inspect_says_where_it_has_them(self, on: tuple[str, Engine]) -> None:
        driver, engine = on
        docker = engine.docker
        docker.ok("run", "--name", "found", "busybox", "touch", "/new")

        def told(*words: str) -> dict[str, str]:
            found = json.loads(docker.ok(*words, "inspect", "-f", "{{json .GraphDriver}}", "found"))
            assert found["Name"] == driver
            return dict(found["Data"] or {})

        data = told("container")
        assert " ".join(sorted(data)) == GRAPH[driver][0]
        if data:
            assert (Path(data["UpperDir"]) / "new").exists()
            assert (Path(data["WorkDir"])).is_dir()
            assert any((Path(lower) / "bin/busybox").exists() for lower in data["LowerDir"].split(":"))
        image = json.loads(docker.ok("image", "inspect", "-f", "{{json .GraphDriver.Data}}", "busybox")) or {}
        assert " ".join(sorted(image)) == GRAPH[driver][1]
        if image:
            assert (Path(image.get("RootDir") or image["UpperDir"]) / "bin/busybox").exists()
        engine.restart()
        assert told("container") == data
        docker.ok("rm", "found")

    def test_changes_are_told_and_committed(self, on: tuple[str, Engine]) -> None:
        driver, engine = on
        docker = engine.docker
        script = "echo hi >/new; rm /bin/wget; mkdir /etc/d; rm -r /home; mkdir /home; touch /home/x"
        docker.ok("run", "--name", "changed", "busybox", "sh", "-c", script)
        assert docker.ok("inspect", "-f", "{{.GraphDriver.Name}}", "changed") == driver
        told = set(docker.ok("diff", "changed").splitlines())
        assert told == {"C /bin", "D /bin/wget", "C /etc", "A /etc/d", "C /home", "A /home/x", "A /new"}
        docker.ok("commit", "changed", "changed:1")
        docker.ok("rm", "changed")
        look = "cat /new; test -e /bin/wget || echo none; ls /home"
        assert docker.ok("run", "--rm", "changed:1", "sh", "-c", look).split() == ["hi", "none", "x"]
        docker.ok("rmi", "changed:1")

    def test_each_kind_of_file_is_told_committed_and_exported(self, on: tuple[str, Engine]) -> None:
        """A file's owner, mode, links, kind and attributes: by `diff`, through a commit, in an export."""
        _, engine = on
        docker = engine.docker
        docker.ok("run", "--name", "kinds", "busybox", "sh", "-c", KINDS)
        told = set(docker.ok("diff", "kinds").splitlines())
        assert told == {"C /bin/busybox", "A /k", "A /k/a", "A /k/b", "A /k/soft", "A /k/pipe", "A /k/null",
                        "A /k/sparse", "A /k/sub", "A /k/sub/deep", "C /etc/passwd"}
        docker.ok("commit", "kinds", "kinds:1")
        assert docker.ok("run", "--rm", "kinds:1", "sh", "-c", SHOW).splitlines() == [
            "/k/a 4640 12:34 regular file 1000000000", "/k/b 4640 12:34 regular file 1000000000",
            "/k/null 666 0:0 character special file 1000000003", "/k/pipe 600 0:0 fifo 1000000002",
            "/k/soft 777 0:0 symbolic link 1000000001", "/k/sub 1777 7:8 directory 1000000005",
            "/bin/busybox 700 0:0", "/k/sparse 4194304", "same",
        ]
        script = "rm -r /k/sub; mkdir /k/sub; touch /k/sub/other; rm /k/b; mv /k/soft /k/moved"
        docker.ok("run", "--name", "later", "kinds:1", "sh", "-c", script)
        told = set(docker.ok("diff", "later").splitlines())
        assert told == {"C /k", "D /k/b", "D /k/soft", "A /k/moved", "C /k/sub", "D /k/sub/deep", "A /k/sub/other"}
        docker.ok("commit", "later", "later:1")
        assert docker.ok("run", "--rm", "later:1", "sh", "-c", "cd /k; find . | sort").split() == [
            ".", "./a", "./moved", "./null", "./pipe", "./sparse", "./sub", "./sub/other"
        ]
        with tarfile.open(fileobj=io.BytesIO(run(engine, "export", "later"))) as tar:
            found = {each.name.rstrip("/"): each for each in tar.getmembers() if each.name.startswith("k")}
        assert set(found) == {"k", "k/a", "k/moved", "k/null", "k/pipe", "k/sparse", "k/sub", "k/sub/other"}
        assert (found["k/a"].uid, found["k/a"].gid, found["k/a"].mode, found["k/a"].mtime) == (12, 34, 0o4640, 10**9)
        assert (found["k/null"].ischr(), found["k/null"].devmajor, found["k/null"].devminor) == (True, 1, 3)
        assert found["k/pipe"].isfifo() and found["k/moved"].linkname == "a" and found["k/sparse"].size == 4 << 20
        docker.ok("rm", "kinds", "later")
        docker.ok("rmi", "later:1", "kinds:1")

    def test_files_go_in_and_out(self, on: tuple[str, Engine], tmp_path: Path) -> None:
        _, engine = on
        (tmp_path / "in").write_text("data")
        engine.docker.ok("create", "--name", "copied", "busybox", "true")
        engine.docker.ok("cp", str(tmp_path / "in"), "copied:/etc/in")
        engine.docker.ok("cp", "copied:/etc/in", str(tmp_path / "out"))
        assert (tmp_path / "out").read_text() == "data"
        assert {"etc/in", "bin/busybox"} <= names(run(engine, "export", "copied"))
        engine.docker.ok("rm", "copied")

    def test_layers_lie_on_one_another(self, on: tuple[str, Engine]) -> None:
        driver, engine = on
        docker, count = engine.docker, 12 if driver == "vfs" else 130
        run(engine, "load", stdin=layered(count))
        shown = f"{count - 1}/f{count - 1}"
        docker.ok("run", "-d", "--name", "deep", "layered:1", "sleep", "300")
        assert docker.ok("exec", "deep", "sh", "-c", "touch /new; cat /same; ls -d /f*") == shown
        assert docker.ok("diff", "deep") == "A /new"
        docker.ok("commit", "deep", "deeper:1")
        docker.ok("rm", "-f", "deep")
        assert docker.ok("run", "--rm", "deeper:1", "sh", "-c", "cat /new /same; ls -d /f*") == shown
        docker.ok("rmi", "deeper:1")
        saved = run(engine, "save", "layered:1")
        identity = docker.ok("image", "inspect", "-f", "{{.Id}}", "layered:1")
        docker.ok("rmi", "layered:1")
        run(engine, "load", stdin=saved)
        assert docker.ok("image", "inspect", "-f", "{{.Id}}", "layered:1") == identity
        docker.ok("rmi", "layered:1")

    def test_sizes_are_what_was_added(self, on: tuple[str, Engine]) -> None:
        _, engine = on
        engine.docker.ok("run", "--name", "big", "busybox", "sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=3")
        (size, whole) = (json.loads(engine.docker.ok("inspect", "-s", "-f", f"{{{{.{key}}}}}", "big"))
                         for key in ("SizeRw", "SizeRootFs"))
        assert 3 << 20 <= size < 4 << 20
        assert whole > size
        document = engine.api("GET", "/system/df").json
        (base,) = document["Images"]
        assert document["LayersSize"] == base["Size"] > 1_000_000
        engine.docker.ok("rm", "big")

    def test_containers_live_on_without_the_daemons(self, on: tuple[str, Engine]) -> None:
        _, engine = on
        docker = engine.docker
        docker.ok("run", "-d", "--name", "lasting", "busybox", "sh", "-c", "echo hi >/new; exec sleep 300")
        until(lambda: docker("exec", "lasting", "cat", "/new").out == "hi\n", "the file is there")
        engine.kill()
        engine.start()
        engine.kill(engine.containerd())
        assert docker.ok("exec", "lasting", "cat", "/new") == "hi"
        docker.ok("restart", "-t", "0", "lasting")
        assert docker.ok("exec", "lasting", "cat", "/new") == "hi"
        docker.ok("rm", "-f", "lasting")

    def test_a_size_is_kept_or_refused(self, on: tuple[str, Engine]) -> None:
        driver, engine = on
        write = ("busybox", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=40")
        told = engine.docker.fails("run", "--rm", "--storage-opt", "size=20m", *write)
        assert {
            "overlay2": "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
            "overlay": "--storage-opt is not supported for overlay", "btrfs": "Disk quota exceeded",
            "vfs": "Filesystem does not support, or has not enabled quotas",
        }[driver] in told
        assert "--rm" not in engine.docker.fails("run", "--rm", "--storage-opt", "colour=red", *write)

    def test_nothing_is_left(self, on: tuple[str, Engine]) -> None:
        _, engine = on
        engine.docker.ok("run", "--rm", "busybox", "true")
        engine.docker.ok("rmi", "busybox")
        root = engine.data / "containerd"

        def left() -> list[str]:
            return [str(path) for path in root.glob("*/*") if path.name.isdecimal() or list(root.glob("*/trash/*"))]

        until(lambda: not left(), "the snapshots are gone", timeout=20)
        engine.load()


class TestChoice:
    @pytest.fixture
    def fresh(self) -> Iterator[Engine]:
        engine = Engine()
        yield engine
        if engine.process:
            engine.stop()
        engine.close()

    def driver(self, engine: Engine) -> str:
        return engine.docker.ok("info", "-f", "{{.Driver}}")

    def test_what_cannot_be_is_refused_with_the_reason(self, fresh: Engine) -> None:
        wanted = {
            ("-s", "foo"): "error initializing graphdriver: driver not supported: foo",
            ("-s", "btrfs"): "prerequisites for driver not satisfied (wrong filesystem?)",
            ("--storage-opt", "overlay2.foo=1"): "initializing graphdriver: overlay2: unknown option overlay2.foo",
            ("-s", "overlay2", "--storage-opt", "overlay2.size=1G"): "overlay2.size only supported for backingFS XFS",
            ("-s", "vfs", "--storage-opt", "x"): "unable to parse key/value option: x",
        }
        if "aufs" not in Path("/proc/filesystems").read_text():
            wanted["-s", "aufs"] = "AUFS was not found in /proc/filesystems"
        for flags, text in wanted.items():
            code, out = fresh.fails_to_start(*flags)
            assert code == 1 and text in out, out

    def test_sizes_want_project_quotas(self, fresh: Engine) -> None:
        if reason := loop.missing("xfs"):
            pytest.skip(reason)
        with loop.mounted("xfs", fresh.data):
            code, out = fresh.fails_to_start("-s", "overlay2", "--storage-opt", "overlay2.size=1G")
            assert code == 1
            assert "overlay2.size not supported. Filesystem does not support Project Quota" in out
            code, out = fresh.fails_to_start("-s", "vfs", "--storage-opt", "vfs.size=1G")
            assert code == 1 and "Filesystem does not support, or has not enabled quotas" in out
            code, out = fresh.fails_to_start("-s", "vfs", "--storage-opt", "vfs.size=much")
            assert code == 1 and "invalid size: 'much'" in out

    def test_what_was_used_is_used_again(self, fresh: Engine) -> None:
        fresh.start("-s", "vfs")
        fresh.load()
        fresh.docker.ok("create", "--name", "old", "busybox", "cat", "/etc/passwd")
        fresh.restart()
        assert self.driver(fresh) == "vfs"
        fresh.restart("-s", "overlay2")
        assert self.driver(fresh) == "overlay2"
        assert fresh.docker.ok("run", "--rm", "busybox", "echo", "again") == "again"
        assert "root:" in fresh.docker.ok("start", "-a", "old")
        fresh.stop()
        code, out = fresh.fails_to_start()
        assert code == 1 and "contains several valid graphdrivers: overlay2, vfs" in out
        fresh.start("-s", "vfs")
        assert self.driver(fresh) == "vfs"

    def test_a_surviving_containerd_gets_the_driver_asked_for(self, fresh: Engine) -> None:
        fresh.start()
        fresh.load()
        fresh.docker.ok("run", "-d", "--name", "kept", "busybox", "sleep", "300")
        before = fresh.containerd()
        fresh.kill()
        fresh.start()
        assert fresh.containerd() == before
        fresh.kill()
        fresh.start("-s", "vfs")
        assert (self.driver(fresh), fresh.docker.ok("exec", "kept", "echo", "on")) == ("vfs", "on")
        fresh.docker.ok("rm", "-f", "kept")

    def test_images_are_moved_to_another_driver(self, fresh: Engine) -> None:
        fresh.start("-s", "vfs")
        fresh.load()
        run(fresh, "load", stdin=layered(3))
        before = fresh.docker.ok("images", "--no-trunc", "-q")
        fresh.stop()
        tool = Path(sys.executable).with_name("docker-containerd")
        words = [tool, "move", "--root", fresh.data / "containerd", "--state", fresh.exec / "containerd",
                 "--from", "vfs", "--to", "overlay2"]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert "images moved from native to overlayfs: 2" in told
        assert not [path for path in (fresh.data / "containerd/native").iterdir() if path.name.isdecimal()]
        fresh.start()
        assert (self.driver(fresh), fresh.docker.ok("images", "--no-trunc", "-q")) == ("overlay2", before)
        assert fresh.docker.ok("run", "--rm", "layered:1", "cat", "/same") == "2"
