"""Which OCI runtime runs a container, as docker-containerd wants to be told."""

import shlex
from dataclasses import dataclass
from typing import Final

from google.protobuf import any_pb2

from protos import errdefs, typeurl
from protos.containerd.types.runc.options import oci_pb2
from services.dockerd.container.container import Container
from services.dockerd.engine.engine import Engine

SHIM: Final = "io.containerd.runc.v2"


@dataclass(frozen=True, slots=True)
class Runtime:
    name: str
    options: any_pb2.Any
    foreign: bool = False
    """Its shim may not be ours."""


def check(engine: Engine, name: str) -> None:
    """InvalidArgument for a runtime that the daemon's configuration does not have."""
    if name and name not in engine.config.runtimes:
        raise errdefs.InvalidArgument(f"unknown or invalid runtime name: {name}")


def of(engine: Engine, container: Container) -> Runtime:
    name = container.host.Runtime or engine.config.default_runtime
    check(engine, name)
    chosen = engine.config.runtimes[name]
    if chosen.type:
        return Runtime(chosen.type, any_pb2.Any(), foreign=True)
    options = oci_pb2.Options(
        binary_name=_program(engine, name),
        root=str(engine.config.exec_root / "runtime"),
        systemd_cgroup=engine.defaults.systemd_cgroup,
    )
    return Runtime(SHIM, typeurl.from_message(options), foreign=bool(engine.config.containerd))


def _program(engine: Engine, name: str) -> str:
    """The runtime's program; one that is to get arguments is called by a script, as in Docker."""
    chosen = engine.config.runtimes[name]
    program = chosen.path or name
    if not chosen.args:
        return program
    script = engine.config.exec_root / "runtimes" / name
    text = f'#!/bin/sh\nexec {shlex.join([program, *chosen.args])} "$@"\n'
    if not script.exists() or script.read_text() != text:
        script.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        script.write_text(text)
        script.chmod(0o700)
    return str(script)
