"""`make adopt`: images and volumes out of the data root of Debian's docker.io, compared with what that said of them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_storage import layered, run
from tests.harness.engine import Engine
from tests.harness.registry import Registry

pytestmark = [
    pytest.mark.ours,
    pytest.mark.skipif(not shutil.which("dockerd", path="/usr/sbin:/usr/bin"), reason="docker.io is not installed"),
]


def facts(engine: Engine, name: str) -> dict[str, Any]:
    """What does not depend on who tells it."""
    document = json.loads(engine.docker.ok("image", "inspect", name))[0]
    keys = ("Id", "RepoTags", "RepoDigests", "Parent", "Comment", "Created", "Author", "Architecture", "Os", "RootFS")
    told = {key: document[key] for key in keys}
    history = engine.api("GET", f"/images/{document['Id']}/history").json
    told["History"] = [{key: each[key] for key in ("Comment", "Created", "CreatedBy", "Tags")} for each in history]
    told["Config"] = {key: value for key, value in document["Config"].items() if value}
    return told


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, dict[str, Any]]]:
    """Docker's own engine, stopped, with images of several layers; what it said of each."""
    with Engine(reference=True) as engine:
        run(engine, "load", stdin=layered(3))
        script = "ln /bin/busybox /hard; ln -s hard /soft; mknod /null c 1 3; echo new >/etc/new; rm /bin/wget"
        engine.docker.ok("run", "--name", "made", "busybox", "sh", "-c", script)
        engine.docker.ok("commit", "made", "made:1")
        engine.docker.ok("tag", "made:1", "localhost:5000/other/made:2")
        engine.docker.ok("run", "--name", "more", "made:1", "touch", "/more")
        engine.docker.ok("commit", "more", "child:1")
        engine.docker.ok("run", "--name", "last", "made:1", "touch", "/nameless")
        nameless = engine.docker.ok("commit", "last")
        with Registry(engine.network, tmp_path_factory.mktemp("registry"), 5300) as registry:
            engine.docker.ok("tag", "child:1", f"{registry.address}/deep/child:1")
            engine.docker.ok("push", "-q", f"{registry.address}/deep/child:1")
        engine.docker.ok("volume", "create", "kept")
        engine.docker.ok("run", "--rm", "-v", "kept:/v", "busybox", "sh", "-c", "echo x >/v/f; chown 5:6 /v/f")
        running = adopt(engine.data, "-o", "/dev/null")
        assert running.returncode == 1 and f"an engine runs on {engine.data}: stop it first" in running.stderr
        rows = engine.docker.ok("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
        told = {name: facts(engine, name) for name in [*rows, nameless] if "<none>" not in name}
        engine.stop()
        yield engine, told


def adopt(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.adopt", *(["--volumes"] if "-H" in words else []), str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ}, check=False)


def test_images_are_what_they_were(
    theirs: tuple[Engine, dict[str, Any]], engine: Engine, images_gone: None
) -> None:
    """After one that was cut short, and a second time."""
    source, told = theirs
    docker = engine.docker
    whole = subprocess.Popen(
        [sys.executable, "-m", "deploy.adopt", str(source.data), "-o", "/dev/stdout"], stdout=subprocess.PIPE
    )
    assert whole.stdout
    half = subprocess.run(
        ["docker", "-H", f"unix://{engine.socket}", "load"], input=whole.stdout.read(1 << 20), capture_output=True
    )
    whole.stdout.close()
    whole.wait()
    assert half.returncode and docker("image", "inspect", "made:1").code
    for _ in range(2):
        done = adopt(source.data, "-H", f"unix://{engine.socket}")
        assert done.returncode == 0, done.stderr
    assert "volume kept: left alone, for it is not empty" in done.stderr
    assert {name: facts(engine, name) for name in told} == told
    named = next(name for name in told["child:1"]["RepoDigests"] if "deep/child" in name)
    assert docker.ok("image", "inspect", "-f", "{{.Id}}", named) == told["child:1"]["Id"]
    assert docker.ok("run", "--rm", named, "ls", "/more") == "/more"
    assert docker.ok("run", "--rm", "-v", "kept:/v", "busybox", "stat", "-c", "%u %g %s", "/v/f") == "5 6 2"
    volume = engine.data / "volumes/kept"
    (volume / "_data/f").unlink()
    (volume / "_data/half").mkdir()
    (volume / "adopting").touch()  # as one leaves it that is killed
    done = adopt(source.data, "-H", f"unix://{engine.socket}")
    assert "volume kept: copied" in done.stderr
    assert [path.name for path in (volume / "_data").iterdir()] == ["f"]
    docker.ok("volume", "rm", "kept")
    look = "cat /etc/new; stat -c %h /hard; readlink /soft; stat -c %F /null; test -e /bin/wget || echo none"
    told = docker.ok("run", "--rm", "made:1", "sh", "-c", look).splitlines()
    assert told == ["new", "2", "hard", "character special file", "none"]


def test_a_changed_file_is_noticed(theirs: tuple[Engine, dict[str, Any]], tmp_path: Path) -> None:
    source, _ = theirs
    for path in (source.data / "overlay2").glob("*/diff/etc/new"):
        path.write_text("NEW\n")
    done = adopt(source.data, "-o", str(tmp_path / "out.tar"))
    assert done.returncode == 1 and "has been changed" in done.stderr


def test_another_directory_is_refused(tmp_path: Path) -> None:
    done = adopt(tmp_path)
    assert done.returncode == 1 and "is no data root of Docker's" in done.stderr
