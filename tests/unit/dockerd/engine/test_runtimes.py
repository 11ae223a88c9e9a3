import subprocess
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from protos import typeurl
from protos.containerd.types.runc.options import oci_pb2
from protos.containerd.types.runtimeoptions.v1 import api_pb2
from protos.errdefs import InvalidArgument
from services.dockerd.config import Config, Runtime
from services.dockerd.container.container import Container
from services.dockerd.engine import runtimes
from services.dockerd.engine.engine import Engine
from services.dockerd.oci.inputs import Defaults
from services.dockerd.schema.container import ContainerConfig, HostConfig


class Bare:
    """What of an Engine choosing a runtime touches."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.defaults = Defaults()


def engine(root: Path, **known: Runtime) -> Engine:
    return cast(Engine, Bare(Config(exec_root=root, runtimes={"runc": Runtime("runc"), **known})))


def container(runtime: str = "") -> Container:
    return Container("1" * 64, "box", 0, "sh", [], ContainerConfig(), HostConfig(Runtime=runtime), "", "", Path())


def options(chosen: runtimes.Runtime) -> oci_pb2.Options:
    found = oci_pb2.Options()
    assert typeurl.to_message(chosen.options, found)
    return found


def test_a_program_is_named(tmp_path: Path) -> None:
    chosen = runtimes.of(engine(tmp_path, mine=Runtime("/usr/bin/mine")), container("mine"))
    assert (chosen.name, chosen.foreign) == ("io.containerd.runc.v2", False)
    assert options(chosen).binary_name == "/usr/bin/mine" and options(chosen).root == str(tmp_path / "runtime")


def test_arguments_come_by_a_script_of_their_own(tmp_path: Path) -> None:
    """Other arguments make another script: what runs keeps its."""
    first = options(runtimes.of(engine(tmp_path, e=Runtime("/bin/echo", ("a b", "$x"))), container("e"))).binary_name
    second = options(runtimes.of(engine(tmp_path, e=Runtime("/bin/echo", ("c",))), container("e"))).binary_name
    assert subprocess.run([first, "create"], capture_output=True, text=True, check=True).stdout == "a b $x create\n"
    assert subprocess.run([second, "create"], capture_output=True, text=True, check=True).stdout == "c create\n"


def test_a_shims_type_has_options(tmp_path: Path) -> None:
    typed = Runtime(type="io.containerd.runc.v2", options={"BinaryName": "/x", "Root": "/r", "NoPivotRoot": True})
    found = options(runtimes.of(engine(tmp_path, t=typed), container("t")))
    assert (found.binary_name, found.root, found.no_pivot_root) == ("/x", "/r", True)
    kata = Runtime(type="io.containerd.kata.v2", options={"ConfigPath": "/k.toml"})
    chosen = runtimes.of(engine(tmp_path, kata=kata), container("kata"))
    foreign = api_pb2.Options()
    assert typeurl.to_message(chosen.options, foreign) and foreign.config_path == "/k.toml"
    assert (chosen.name, chosen.foreign) == ("io.containerd.kata.v2", True)
    assert runtimes.of(engine(tmp_path), container("io.containerd.wasm.v1")).name == "io.containerd.wasm.v1"


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="unknown or invalid runtime name: nosuch"):
        runtimes.check(engine(tmp_path), "nosuch")
    with pytest.raises(InvalidArgument, match="unknown or invalid runtime name: nosuch"):
        runtimes.of(engine(tmp_path), container("nosuch"))
    runtimes.check(engine(tmp_path), "")


def test_a_container_keeps_what_its_runtime_was(tmp_path: Path) -> None:
    """The configuration's word while it knows the name, then what was recorded."""
    box, known = container(), engine(tmp_path, mine=Runtime("/one"))
    known.config = replace(known.config, default_runtime="mine")
    runtimes.settle(known, box)
    assert (box.host.Runtime, box.runtime) == ("mine", Runtime("/one"))
    assert runtimes.chosen(engine(tmp_path, mine=Runtime("/two")), box) == Runtime("/two")
    assert runtimes.chosen(engine(tmp_path), box) == Runtime("/one")
