"""Devices of the Container Device Interface, described in JSON and in YAML: `--device vendor.com/class=name`.

And GPUs by nvidia's hook, `--gpus`.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import clean
from tests.harness.cli import Docker
from tests.harness.engine import Engine

pytestmark = pytest.mark.ours  # Docker has it since 25.0

HOOK = """#!/bin/sh
cat >"$(dirname "$0")/told"
"""
FIRST = {
    "cdiVersion": "0.6.0", "kind": "vendor.com/thing",
    "containerEdits": {"env": ["COMMON=1"]},
    "devices": [
        {"name": "zero", "containerEdits": {"deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/zero"}]}},
        {"name": "all", "containerEdits": {"env": ["CHOSEN=all"]}},
    ],
}
SECOND = """
cdiVersion: 0.6.0
kind: vendor.com/file
devices:
- name: given
  containerEdits:
    mounts:
    - hostPath: {place}/given.txt
      containerPath: /given
      options: [ro, bind]
    hooks:
    - hookName: createRuntime
      path: {place}/hook
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    place = tmp_path_factory.mktemp("cdi")
    (place / "first.json").write_text(json.dumps(FIRST))
    (place / "second.yaml").write_text(SECOND.format(place=place))
    (place / "given.txt").write_text("given\n")
    (place / "hook").write_text(HOOK)
    (place / "hook").chmod(0o755)
    with Engine("--cdi-spec-dir", str(place)) as engine:
        yield engine
        engine.stop()


NVIDIA = """#!/bin/sh
echo "$@" $GIVEN >"$(dirname "$0")/called"
"""


@pytest.fixture
def docker(engine: Engine) -> Iterator[Docker]:
    yield engine.docker
    clean(engine.api)


def place(docker: Docker) -> Path:
    return Path(json.loads(docker.ok("info", "-f", "{{json .CDISpecDirs}}"))[0])


def test_a_node_appears_and_may_be_read(docker: Docker) -> None:
    read = "head -c 3 /dev/thing | od -An -tx1; env"
    said = docker.ok("run", "--rm", "--device", "vendor.com/thing=zero", "busybox", "sh", "-c", read)
    assert "00 00 00" in said and "COMMON=1" in said and "CHOSEN" not in said


def test_several_devices_of_several_files(docker: Docker) -> None:
    flags = [word for name in ("thing=all", "file=given") for word in ("--device", f"vendor.com/{name}")]
    said = docker.ok("run", "--rm", *flags, "busybox", "sh", "-c", "cat /given; echo $CHOSEN")
    assert said.split() == ["given", "all"]
    state = json.loads((place(docker) / "told").read_text())
    assert state["id"] and state["pid"]


def test_an_unknown_device_is_refused(docker: Docker) -> None:
    told = docker.fails("run", "--rm", "--device", "vendor.com/thing=none", "busybox", "true")
    assert "CDI device injection failed: unresolvable CDI devices vendor.com/thing=none" in told


def test_what_is_found_is_shown(docker: Docker, engine: Engine) -> None:
    devices = [{"Source": "cdi", "ID": f"vendor.com/{name}"} for name in ("file=given", "thing=all", "thing=zero")]
    assert engine.api.get("/info")["DiscoveredDevices"] == devices
    assert "cdi: vendor.com/thing=zero" in docker.ok("info")
    assert "DiscoveredDevices" not in engine.api("GET", "/v1.49/info").json
    bad = place(docker) / "third.json"
    bad.write_text("{")
    assert f"CDI: {bad}: " in docker("info").err
    bad.unlink()


def test_without_the_feature_there_is_no_driver(docker: Docker, engine: Engine) -> None:
    """As told by daemon.json, which may name the directories too."""
    where, file = str(place(docker)), engine.root / "daemon.json"
    flags, engine.flags = engine.flags, ["--config-file", str(file)]
    file.write_text(json.dumps({"cdi-spec-dirs": [where], "features": {"cdi": False}}))
    engine.restart()
    told = docker.fails("run", "--rm", "--device", "vendor.com/thing=zero", "busybox", "true")
    assert 'could not select device driver "cdi" with capabilities: []' in told
    assert docker.ok("info", "-f", "{{json .CDISpecDirs}}") == "[]"
    assert engine.api.get("/info")["DiscoveredDevices"] == []
    file.write_text(json.dumps({"cdi-spec-dirs": [where]}))
    engine.restart()
    assert "CHOSEN=all" in docker.ok("run", "--rm", "--device", "vendor.com/thing=all", "busybox", "env")
    engine.flags = flags
    engine.restart()


def test_gpus_are_nvidias_hooks(fresh: Callable[..., Engine], tmp_path: Path) -> None:
    hook = tmp_path / "nvidia-container-runtime-hook"
    hook.write_text(NVIDIA)
    hook.chmod(0o755)
    engine = fresh(env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "GIVEN": "environment"})
    flag = '"device=GPU-1,GPU-2","capabilities=compute,utility"'
    said = engine.docker.ok("run", "--rm", "--gpus", flag, "busybox", "env").splitlines()
    assert "NVIDIA_VISIBLE_DEVICES=GPU-1,GPU-2" in said and "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in said
    assert (tmp_path / "called").read_text() == "prestart environment\n"
    assert "NVIDIA_VISIBLE_DEVICES=all" in engine.docker.ok("run", "--rm", "--gpus", "all", "busybox", "env")
    told = engine.docker.fails("run", "--rm", "--gpus", "capabilities=tpu", "busybox", "true")
    assert 'could not select device driver "" with capabilities: [[' in told  # in any order
