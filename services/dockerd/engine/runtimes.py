"""Which OCI runtime runs a container, as docker-containerd wants to be told."""

import hashlib
import shlex
from dataclasses import dataclass
from typing import Final

from google.protobuf import any_pb2

from protos import errdefs, typeurl
from protos.containerd.types.runc.options import oci_pb2
from protos.containerd.types.runtimeoptions.v1 import api_pb2
from services.dockerd import config, flags, rules
from services.dockerd.container.container import Container
from services.dockerd.engine.engine import Engine

SHIM: Final = flags.RUNC_SHIM


@dataclass(frozen=True, slots=True)
class Runtime:
    name: str
    options: any_pb2.Any
    foreign: bool = False
    """Its shim may not be ours."""


def check(engine: Engine, name: str) -> None:
    """InvalidArgument for a runtime that the daemon's configuration does not have."""
    if name and _configured(engine, name) is None:
        raise errdefs.InvalidArgument(f"unknown or invalid runtime name: {name}")


def settle(engine: Engine, container: Container) -> None:
    """Record what the container's runtime is called with from now on."""
    container.host.Runtime = container.host.Runtime or engine.config.default_runtime
    container.runtime = chosen(engine, container)


def chosen(engine: Engine, container: Container) -> config.Runtime:
    """What the configuration says now; for a name that it has no more, what it said."""
    name = container.host.Runtime or engine.config.default_runtime
    found = _configured(engine, name) or container.runtime
    if found is None:
        raise errdefs.InvalidArgument(f"unknown or invalid runtime name: {name}")
    return found


def _configured(engine: Engine, name: str) -> config.Runtime | None:
    found = engine.config.runtimes.get(name)
    return config.Runtime(type=name) if found is None and rules.implicit(name) else found


def of(engine: Engine, container: Container) -> Runtime:
    runtime = chosen(engine, container)
    foreign = bool(engine.config.containerd)
    if runtime.type and runtime.type != SHIM:
        return Runtime(runtime.type, _foreign(runtime), foreign=True)
    options = oci_pb2.Options(
        binary_name=_program(engine, container.host.Runtime, runtime),
        root=str(engine.config.exec_root / "runtime"),
        systemd_cgroup=engine.defaults.systemd_cgroup,
    )
    if engine.config.owners and container.host.UsernsMode != "host":
        options.io_uid, options.io_gid = engine.owner
    for name, value in runtime.options.items():
        setattr(options, rules.RUNC_OPTIONS[name][0], value)
    return Runtime(SHIM, typeurl.from_message(options), foreign=foreign)


def _foreign(runtime: config.Runtime) -> any_pb2.Any:
    if not runtime.options:
        return any_pb2.Any()
    options = api_pb2.Options()
    for name, value in runtime.options.items():
        field = rules.shim_options(runtime.type)[name][0]
        setattr(options, field, value.encode() if field == "config_body" else value)
    return typeurl.from_message(options)


def _program(engine: Engine, name: str, runtime: config.Runtime) -> str:
    """The runtime's program; one that is to get arguments is called by a script, as in Docker.

    What runs keeps the script it was started with: its name tells its content.
    """
    if not runtime.args:
        return runtime.program
    text = f'#!/bin/sh\nexec {shlex.join([runtime.program, *runtime.args])} "$@"\n'
    script = engine.config.exec_root / "runtimes" / f"{name}.{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if not script.exists():
        script.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = script.with_suffix(".new")
        fresh.write_text(text)
        fresh.chmod(0o700)
        fresh.rename(script)
    return str(script)
