"""Volume plugins under the real clients: a strict plugin that counts, hangs, refuses and dies."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import docker as sdk
import pytest

from tests.conftest import clean
from tests.fakes.shelf import Shelf
from tests.harness.cli import Docker, end
from tests.harness.engine import REFERENCE, Engine
from tests.harness.http import API
from tests.harness.wait import until

SOCKETS = Path("/run/docker/plugins")
NAME = f"shelf{os.getpid()}"


@pytest.fixture
def shelf(engine: Engine, tmp_path: Path) -> Iterator[Shelf]:
    # Ours has a place of its own: in the common one, other engines of this machine would find the volumes too.
    sockets = SOCKETS if REFERENCE else engine.exec / "plugins"
    sockets.mkdir(parents=True, exist_ok=True)
    with Shelf(sockets / f"{NAME}.sock", tmp_path / "shelf") as made:
        yield made
        made.failing.clear()
        clean(engine.api)
        until(lambda: not made.mounted(), "all is unmounted")
        assert made.breaches == [] and made.volumes == {}


def test_create_list_inspect_remove(docker: Docker, shelf: Shelf) -> None:
    docker.ok("volume", "create", "-d", NAME, "-o", "speed=high", "--label", "kind=x", "one")
    assert shelf.volumes == {"one": {"speed": "high"}}
    (info,) = json.loads(docker.ok("volume", "inspect", "one"))
    assert (info["Driver"], info["Scope"], info["Options"]) == (NAME, "global", {"speed": "high"})
    assert (info["Labels"], info["Status"], info["CreatedAt"]) == ({"kind": "x"}, {"mounts": 0}, "2024-05-06T07:08:09Z")
    docker.ok("volume", "create", "mine")
    assert docker.ok("volume", "ls", "--format", "{{.Driver}} {{.Name}}").splitlines() == ["local mine", f"{NAME} one"]
    assert docker.ok("volume", "ls", "-q", "--filter", f"driver={NAME}") == "one"
    assert NAME in docker.ok("info", "--format", "{{.Plugins.Volume}}")
    docker.ok("volume", "rm", "one")
    assert shelf.volumes == {}


def test_its_own_volumes_are_found(docker: Docker, shelf: Shelf) -> None:
    shelf.put("theirs")
    assert docker.ok("volume", "ls", "-q") == "theirs"
    assert docker.ok("volume", "inspect", "-f", "{{.Driver}}", "theirs") == NAME
    assert docker.ok("run", "--rm", "-v", "theirs:/d", "busybox", "ls", "-A", "/d") == ""
    docker.ok("volume", "rm", "theirs")


def test_a_container_uses_it(docker: Docker, shelf: Shelf, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "--volume-driver", NAME, "-v", "data:/d", "busybox", "sleep", "60")
    docker.ok("exec", name, "sh", "-c", "echo kept > /d/f")
    assert (shelf.root / "data/f").read_text() == "kept\n" and shelf.mounted() == 1
    (mount,) = json.loads(docker.inspect(name, "{{json .Mounts}}"))
    assert (mount["Type"], mount["Name"], mount["Driver"]) == ("volume", "data", NAME)
    assert REFERENCE or mount["Source"] == str(shelf.root / "data.mnt")  # there it stays what it was at create
    docker.ok("run", "--rm", "-v", "data:/d", "busybox", "grep", "kept", "/d/f")
    assert shelf.mounted() == 1
    assert "volume is in use - [" in docker.fails("volume", "rm", "data", code=1)
    docker.ok("rm", "-f", name)
    assert shelf.mounted() == 0
    docker.ok("volume", "rm", "data")


def test_mount_words_reach_it(docker: Docker, shelf: Shelf) -> None:
    options = f"volume-driver={NAME},volume-opt=a=1,volume-opt=b=2,volume-label=l=v"
    words = f"type=volume,src=data,dst=/home,{options},readonly"
    assert "Read-only file system" in docker("run", "--rm", "--mount", words, "busybox", "touch", "/home/f").err
    assert shelf.volumes == {"data": {"a": "1", "b": "2"}}
    assert docker.ok("volume", "inspect", "-f", "{{json .Labels}}", "data") == '{"l":"v"}'
    docker.ok("volume", "rm", "data")


def test_copy_up_and_nocopy(docker: Docker, shelf: Shelf) -> None:
    binds = ["-v", "full:/etc", "-v", "bare:/home:nocopy"]
    docker.ok("run", "--rm", "--volume-driver", NAME, *binds, "busybox", "true")
    assert (shelf.root / "full/passwd").exists() and not list((shelf.root / "bare").iterdir())
    docker.ok("volume", "rm", "full", "bare")


def test_nameless_volumes_go(docker: Docker, shelf: Shelf) -> None:
    docker.ok("run", "--rm", "--volume-driver", NAME, "-v", "/d", "busybox", "true")
    until(lambda: not shelf.volumes, "the nameless volume is removed")


def test_the_sdk_sees_it(engine: Engine, docker: Docker, shelf: Shelf) -> None:
    client = sdk.DockerClient(base_url=f"unix://{engine.socket}")
    volume = client.volumes.create("data", driver=NAME, driver_opts={"a": "b"}, labels={"l": ""})
    assert (volume.attrs["Driver"], volume.attrs["Options"]) == (NAME, {"a": "b"})
    assert [each.name for each in client.volumes.list(filters={"driver": NAME})] == ["data"]
    volume.remove()
    client.close()


def test_a_missing_plugin_is_told(docker: Docker) -> None:
    text = 'create data: error looking up volume plugin nosuch: plugin "nosuch" not found'
    assert text in docker.fails("volume", "create", "-d", "nosuch", "data", code=1)


@pytest.mark.ours
def test_no_image_is_pulled_for_a_missing_plugin(docker: Docker) -> None:
    told = docker.fails("run", "--volume-driver", "nosuch", "-v", "v1:/d", "busybox", "true")
    assert 'plugin "nosuch" not found' in told and "Unable to find image" not in told


def test_its_words_are_told(docker: Docker, shelf: Shelf, name: str) -> None:
    shelf.failing["Create"] = "the shelf is full"
    assert "create data: the shelf is full" in docker.fails("volume", "create", "-d", NAME, "data", code=1)
    shelf.failing.clear()
    docker.ok("create", "--name", name, "--volume-driver", NAME, "-v", "data:/d:nocopy", "busybox", "true")
    shelf.failing["Mount"] = "the key is lost"
    text = docker.fails("start", name, code=1)
    assert "error while mounting volume '" in text and "the key is lost" in text
    shelf.failing.clear()
    docker.ok("start", "-a", name)
    docker.ok("rm", name)
    shelf.failing["Remove"] = "not today"
    assert "remove data: not today" in docker.fails("volume", "rm", "data", code=1)
    shelf.failing.clear()
    docker.ok("volume", "rm", "data")


@pytest.mark.ours
def test_a_hanging_plugin_blocks_nobody_else(docker: Docker, api: API, shelf: Shelf, name: str) -> None:
    docker.ok("volume", "create", "-d", NAME, "data")
    docker.ok("create", "--name", name, "-v", "data:/d:nocopy", "busybox", "sleep", "60")
    shelf.hanging |= {"Mount", "Get", "List", "Path"}
    waiting = docker.start("start", name)
    try:
        until(lambda: "Mount" in shelf.verbs(), "the plugin is asked")
        assert name in docker.ok("ps", "-a", "--format", "{{.Names}}")
        assert docker.inspect(name, "{{(index .Mounts 0).Name}}") == "data"
        assert docker.ok("volume", "inspect", "-f", "{{.Driver}}", "data") == NAME
        listing = api.get("/volumes")
        assert [each["Name"] for each in listing["Volumes"]] == ["data"] and f"list {NAME}" in listing["Warnings"][0]
        assert docker.ok("run", "--rm", "-v", "other:/d", "busybox", "echo", "on") == "on"
        assert waiting.poll() is None
    finally:
        shelf.hanging.clear()
        shelf.released.set()
        assert waiting.wait(20) == 0
        end(waiting)
    docker.ok("rm", "-f", name)
    docker.ok("volume", "rm", "data")


@pytest.mark.ours
def test_a_dead_plugin_is_answered_for(docker: Docker, shelf: Shelf, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "--volume-driver", NAME, "-v", "data:/d", "busybox", "sleep", "60")
    shelf.die()
    assert docker.ok("volume", "ls", "-q") == "data"
    assert docker.ok("volume", "inspect", "-f", "{{.Driver}}", "data") == NAME
    assert docker.ok("exec", name, "ls", "/d") == ""
    docker.ok("kill", name)
    assert docker.ok("wait", name) == "137"
    text = docker.fails("start", name, code=1)
    assert f'error looking up volume plugin {NAME}: plugin "{NAME}" not found' in text
    shelf.revive()
    docker.ok("start", name)
    docker.ok("rm", "-f", name)
    docker.ok("volume", "rm", "data")


def test_events_name_the_driver(docker: Docker, api: API, shelf: Shelf) -> None:
    since = str(time.time())
    docker.ok("run", "--rm", "--volume-driver", NAME, "-v", "data:/d:nocopy", "busybox", "true")
    docker.ok("volume", "rm", "data")
    words = ["events", "--since", since, "--until", str(time.time()), "--filter", "type=volume"]
    rows = docker.ok(*words, "--format", "{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.driver}}").splitlines()
    assert rows == [f"{action} data {NAME}" for action in ("create", "mount", "unmount", "destroy")]
