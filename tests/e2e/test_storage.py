"""Storage drivers through the docker CLI: containers and images on each that runs here; which one is chosen,
and its options; moving between them, and out of Docker's own data root.
"""

import io
import json
import os
import shutil
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
STATUS = {"overlay2": "Native Overlay Diff", "overlay": "Supports d_type", "btrfs": "Btrfs", "vfs": ""}


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
        rows = json.loads(engine.docker.ok("info", "-f", "{{json .DriverStatus}}"))
        assert not STATUS[driver] or STATUS[driver] in [key for key, _ in rows]

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


@pytest.mark.skipif(not shutil.which("dockerd", path="/usr/sbin:/usr/bin"), reason="docker.io is not installed")
class TestAdoption:
    @pytest.fixture(scope="class")
    @classmethod
    def theirs(cls) -> Iterator[tuple[Engine, dict[str, str]]]:
        """Docker's own engine, stopped, with images of several layers; their ids by name."""
        with Engine(reference=True) as engine:
            run(engine, "load", stdin=layered(3))
            script = "ln /bin/busybox /hard; ln -s hard /soft; mknod /null c 1 3; echo new >/etc/new; rm /bin/wget"
            engine.docker.ok("run", "--name", "made", "busybox", "sh", "-c", script)
            engine.docker.ok("commit", "made", "made:1")
            engine.docker.ok("tag", "made:1", "localhost:5000/other/made:2")
            rows = engine.docker.ok("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()
            engine.stop()
            yield engine, dict(row.split() for row in rows)

    def adopt(self, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deploy.adopt", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ}, check=False)

    def test_images_keep_their_digests(self, theirs: tuple[Engine, dict[str, str]], engine: Engine) -> None:
        source, ids = theirs
        done = self.adopt(source.data, "-H", f"unix://{engine.socket}")
        assert done.returncode == 0, done.stderr
        docker = engine.docker
        assert {name: docker.ok("image", "inspect", "-f", "{{.Id}}", name) for name in ids} == ids
        look = "cat /etc/new; stat -c %h /hard; readlink /soft; stat -c %F /null; test -e /bin/wget || echo none"
        told = docker.ok("run", "--rm", "made:1", "sh", "-c", look).splitlines()
        assert told == ["new", "2", "hard", "character special file", "none"]
        docker.ok("rmi", *[name for name in ids if not name.startswith("busybox")])

    def test_a_changed_file_is_noticed(self, theirs: tuple[Engine, dict[str, str]], tmp_path: Path) -> None:
        source, _ = theirs
        for path in (source.data / "overlay2").glob("*/diff/etc/new"):
            path.write_text("NEW\n")
        done = self.adopt(source.data, "-o", str(tmp_path / "out.tar"))
        assert done.returncode == 1 and "has been changed" in done.stderr

    def test_another_directory_is_refused(self, tmp_path: Path) -> None:
        done = self.adopt(tmp_path)
        assert done.returncode == 1 and "is no data root of Docker's" in done.stderr
