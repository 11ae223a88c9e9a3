"""`start`, as containerd 2.x calls it: leave a shim behind and print where it serves; and `-info`.

Standard input holds BootstrapParams (2.3 and later) or the runtime's options as an Any (before); both are accepted.
"""

import hashlib
import json
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from google.protobuf import any_pb2
from google.protobuf.message import DecodeError

from protos import errdefs
from protos.containerd.runtime.bootstrap.v1 import bootstrap_pb2
from protos.containerd.types import introspection_pb2
from services.shim import life
from services.shim.api import VERSION
from services.shim.config import PROGRAM, Config, command_line
from services.shim.title import set_title

_PROTOCOL: Final = 3
_LONGEST: Final = 107
_FEATURES: Final = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"


def start(config: Config) -> None:
    """Returns in the caller once the shim's socket takes connections; the shim itself never returns."""
    config = _complete(config, _input())
    _check(config)
    path = _socket_path(config)
    listener = listen(path)
    if os.fork() == 0:
        try:
            _become(config, listener)
        finally:
            os._exit(1)
    result = {"version": _PROTOCOL, "address": f"unix://{path}", "protocol": "grpc"}
    sys.stdout.write(json.dumps(result))
    sys.stdout.flush()


def _become(config: Config, listener: socket.socket) -> None:
    life.detach(listener.fileno())
    life.settle_signals()
    os.chdir(config.bundle)
    set_title(*command_line(config))
    life.serve(config, listener)
    os._exit(0)


def listen(path: Path) -> socket.socket:
    """A listener at `path`, in a directory that is root's alone; replaces the socket of a shim that is gone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    if _taken(path):
        raise errdefs.AlreadyExists(f"another shim serves at {path}")
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(128)
    return listener


def _taken(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _socket_path(config: Config) -> Path:
    if config.socket:
        path = Path(config.socket)
    else:
        identity = "\0".join((config.address, config.namespace, config.id))
        path = Path(config.address).parent / "s" / hashlib.sha256(identity.encode()).hexdigest()[:32]
    if len(os.fsencode(path)) > _LONGEST:
        raise errdefs.InvalidArgument(f"socket path {path} is longer than {_LONGEST} bytes; choose a shorter directory")
    return path


def _input() -> bytes:
    return b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()


def _complete(config: Config, given: bytes) -> Config:
    """What the command line leaves open, from standard input and the environment."""
    params = bootstrap_pb2.BootstrapParams()
    try:
        params.ParseFromString(given)
    except DecodeError:
        params.Clear()
    if config.id and params.instance_id != config.id:
        params.Clear()  # it was an Any: its first field is a string, too
    address = params.containerd_grpc_address or os.environ.get("GRPC_ADDRESS") or config.address
    config = replace(
        config,
        id=config.id or params.instance_id,
        namespace=config.namespace or params.namespace or os.environ.get("NAMESPACE", ""),
        address=address.removeprefix("unix://"),
        debug=config.debug or params.log_level < bootstrap_pb2.LOG_LEVEL_INFO,
    )
    if params.socket_dir and not config.socket:
        return replace(config, socket=str(Path(params.socket_dir) / _socket_path(config).name))
    return config


def _check(config: Config) -> None:
    for name, value in (("id", config.id), ("namespace", config.namespace), ("address", config.address)):
        if not value:
            raise errdefs.InvalidArgument(f"-{name} is missing")
    newest = os.environ.get("MAX_SHIM_VERSION", str(_PROTOCOL))
    if not newest.isdigit() or int(newest) < _PROTOCOL:
        raise errdefs.Unimplemented(f"the shim speaks version {_PROTOCOL} of the task API, containerd only {newest}")


def info() -> None:
    """Print a RuntimeInfo: what this shim is, and what its runtime can do."""
    options = any_pb2.Any()
    given = _input()
    answer = introspection_pb2.RuntimeInfo(name=PROGRAM)
    answer.version.version = VERSION
    try:
        options.ParseFromString(given)
        if options.type_url:
            answer.options.CopyFrom(options)
    except DecodeError:
        pass
    features = _features()
    if features:
        answer.features.type_url = _FEATURES
        answer.features.value = features
    sys.stdout.buffer.write(answer.SerializeToString())
    sys.stdout.buffer.flush()


def _features() -> bytes:
    import subprocess  # of no use to a shim

    try:
        return subprocess.run(["runc", "features"], capture_output=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return b""
