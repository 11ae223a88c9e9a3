"""What docker-containerd is told by its flags; every path absolute, the socket's length checked."""

import os
import shutil
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protos import errdefs
from protos.idmap import Mapping, Owners

VERSION: Final = "0.1.0"
REVISION: Final = ""
LEVELS: Final = ("debug", "info", "warn", "error", "fatal")
MAX_SOCKET_PATH: Final = 107
"""Bytes of sun_path without its final zero."""


@dataclass(frozen=True, slots=True)
class Config:
    root: Path
    """Persistent: blobs, snapshots, metadata."""
    state: Path
    """Of this boot: bundles, the shims' sockets, temporary mounts."""
    address: str
    """Path of the gRPC socket."""
    log_level: str = "info"
    log_format: str = "text"
    ready_fd: int | None = None
    """Gets `ready\\n` once calls are served, or `failed: <reason>\\n`; then it is closed."""
    snapshotter: str = ""
    """The storage driver in use; "" is the one used before, else the first that works here."""
    snapshotter_opts: tuple[str, ...] = ()
    """Its options, `key=value` by Docker's names."""
    shim: str = "docker-containerd-shim"
    """The program that runs a container when a runtime names none by path."""
    owners: Owners | None = None
    """Who on the host has the files that layers give to an id; None is that id."""


def parse(argv: list[str]) -> Config:
    """The configuration of a command line; InvalidArgument where it cannot be served."""
    flags = _parser().parse_args(argv)
    address = _absolute(flags.address.removeprefix("unix://"))
    if len(os.fsencode(address)) > MAX_SOCKET_PATH:
        raise errdefs.InvalidArgument(
            f"address {address} is longer than the {MAX_SOCKET_PATH} bytes a unix socket may have; choose a shorter one"
        )
    return Config(
        root=Path(_absolute(flags.root)),
        state=Path(_absolute(flags.state)),
        address=address,
        log_level=flags.log_level,
        log_format=flags.log_format,
        ready_fd=_ready_fd(flags),
        snapshotter=flags.snapshotter,
        snapshotter_opts=tuple(flags.snapshotter_opt),
        shim=flags.shim or _beside("docker-containerd-shim"),
        owners=_owners(flags),
    )


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "docker-containerd", description="Blobs, images, snapshots, containers and tasks over gRPC",
        epilog="docker-containerd check: is all below a root in order? docker-containerd move: a root's images to"
        " another storage driver. Both have a --help of their own.",
    )
    shown = " (default: %(default)s)"
    parser.add_argument("--root", default="/var/lib/docker/containerd", help="directory of persistent data" + shown)
    parser.add_argument("--state", default="/var/run/docker/containerd", help="directory of this boot's state" + shown)
    address = "/var/run/docker/containerd/containerd.sock"
    parser.add_argument("-a", "--address", default=address, help="gRPC socket" + shown)
    parser.add_argument("-l", "--log-level", default="info", choices=LEVELS)
    parser.add_argument("--log-format", default="text", choices=("text", "json"))
    parser.add_argument("--ready-fd", type=int, help="descriptor that gets `ready` or `failed: <reason>`, one line")
    parser.add_argument(
        "--snapshotter", default="", metavar="NAME",
        help="storage driver in use: overlayfs, overlay, aufs, btrfs or native"
        " (default: the one used before, else the first of overlayfs, btrfs, native that works here)",
    )
    parser.add_argument(
        "--snapshotter-opt", action="append", default=[], metavar="KEY=VALUE",
        help="an option of it, by Docker's names",
    )
    parser.add_argument("--shim", help="path of docker-containerd-shim (default: beside this program)")
    for kind in ("uid", "gid"):
        parser.add_argument(f"--{kind}-map", help=f"host {kind}s of files in snapshots, as container:host:count,…")
    parser.add_argument("-v", "--version", action="version", version=f"docker-containerd {VERSION} {REVISION}".strip())
    return parser


def _owners(flags: Namespace) -> Owners | None:
    if bool(flags.uid_map) != bool(flags.gid_map):
        raise errdefs.InvalidArgument("--uid-map and --gid-map go together")
    return Owners(Mapping.parse(flags.uid_map), Mapping.parse(flags.gid_map)) if flags.uid_map else None


def _ready_fd(flags: Namespace) -> int | None:
    if flags.ready_fd is None:
        return None
    try:
        os.fstat(flags.ready_fd)
    except OSError as error:
        raise errdefs.InvalidArgument(f"--ready-fd {flags.ready_fd}: {error.strerror}") from error
    return int(flags.ready_fd)


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def _beside(program: str) -> str:
    sibling = Path(sys.argv[0]).absolute().parent / program
    return str(sibling) if sibling.exists() else shutil.which(program) or program
