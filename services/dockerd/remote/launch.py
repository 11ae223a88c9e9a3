"""Starting docker-containerd, and finding one that runs already. Synchronous and light: `__main__` calls it before the
heavy imports, so that docker-containerd boots beside them. Watching and restarting: supervisor.py.
"""

import itertools
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protos.errdefs import FailedPrecondition, Unavailable
from services.dockerd import storage
from services.dockerd.config import Config
from services.dockerd.programs import which

PROGRAM: Final = "docker-containerd"
_STORAGE: Final = "--snapshotter"
_END: Final = 20.0
"""Seconds that one to be replaced has to end."""
_PRIVATE: Final = ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "DOCKERD_READY_FD")
"""Variables that are meant for dockerd alone."""


@dataclass(frozen=True, slots=True)
class Process:
    """A docker-containerd: our child with a pipe that tells when it is ready, or one that we found (`ready` -1)."""

    pid: int
    pidfd: int
    ready: int = -1
    child: subprocess.Popen[bytes] | None = None

    @property
    def ours(self) -> bool:
        return self.child is not None


def begin(config: Config) -> Process | None:
    """Adopt the docker-containerd of this exec root or start one; None where `--containerd` names another.

    FailedPrecondition where it keeps the containers of another data root.
    """
    if config.containerd:
        return None
    found = find(config.containerd_address)
    if found is None:
        return launch(config)
    if other := _foreign(found, config):
        os.close(found.pidfd)
        raise FailedPrecondition(
            f"--exec-root {config.exec_root} is in use: docker-containerd (PID {found.pid}) keeps the containers of "
            f"{other} there. Give another --exec-root, or end it"
        )
    return found if _fits(found, config) else _replace(found, config)


def find(address: str) -> Process | None:
    """Who listens on `address` now, held by a pidfd.

    The kernel says who it is and the open connection that it lives, so that no number is ever mistaken for a process.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address)
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            pid = struct.unpack("3i", credentials)[0]
            return Process(pid, os.pidfd_open(pid))
        except OSError:
            return None


def locked(config: Config) -> bool:
    """Whether some docker-containerd holds the root, serving yet or not; only looks, so that it disturbs nobody."""
    try:
        lock = (config.data_root / "containerd" / "lock").stat().st_ino
    except FileNotFoundError:
        return False
    return any(line.split()[5].endswith(f":{lock}") for line in Path("/proc/locks").read_text().splitlines())


def launch(config: Config) -> Process:
    """Start docker-containerd as a session of its own; Unavailable where the program is missing."""
    arguments = command(config)
    for directory in (config.data_root / "containerd", config.exec_root / "containerd"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    environment = {name: value for name, value in os.environ.items() if name not in _PRIVATE}
    # Fewer malloc arenas keep the pages of its warm children shared.
    environment.setdefault("MALLOC_ARENA_MAX", "1")
    try:
        # Not posix_spawn: glibc's leaves two signals ignored, down to the containers.
        child = subprocess.Popen(
            [*arguments, "--ready-fd", str(writing)], stdin=subprocess.DEVNULL, env=environment, pass_fds=[writing],
            start_new_session=True,
        )
    except OSError as error:
        os.close(reading)
        raise Unavailable(f"cannot start {arguments[0]}: {error.strerror}") from error
    finally:
        os.close(writing)
    resource.prlimit(child.pid, resource.RLIMIT_NOFILE, _FILES)
    return Process(child.pid, os.pidfd_open(child.pid), reading, child)


def command(config: Config) -> list[str]:
    containerd = "containerd"
    level = {"trace": "debug", "panic": "fatal"}.get(config.level, config.level)
    return [
        program(),
        "--root", str(config.data_root / containerd),
        "--state", str(config.exec_root / containerd),
        "--address", config.containerd_address,
        "--log-level", level,
        *(["--log-format", config.log_format] if config.log_format != "text" else []),
        *_storage(config),
        *_owners(config),
    ]


def _owners(config: Config) -> list[str]:
    if not config.owners:
        return []
    return ["--uid-map", str(config.owners.uids), "--gid-map", str(config.owners.gids)]


def _storage(config: Config) -> list[str]:
    name = storage.snapshotter(config.storage_driver)
    options = [word for text in config.storage_opts for word in (f"{_STORAGE}-opt", text)]
    return [*([_STORAGE, name] if name else []), *options]


def _foreign(process: Process, config: Config) -> str:
    """The data root of one that runs for another dockerd; empty for one of ours, with user namespaces or without."""
    words = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    root = next((Path(value).parent for name, value in itertools.pairwise(words) if name == "--root"), config.data_root)
    return "" if _plain(root) == _plain(config.data_root) else str(_plain(root))


def _plain(root: Path) -> Path:
    """A data root without the part that user namespaces put behind it, `<uid>.<gid>`."""
    return root.parent if re.fullmatch(r"\d+\.\d+", root.name) else root


def _fits(process: Process, config: Config) -> bool:
    """Whether a docker-containerd that runs was given this root, its ids, and this storage driver with its options."""
    words = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return list(_settled(words)) == list(_settled(command(config)))


def _settled(words: list[str]) -> Iterator[tuple[str, str]]:
    """What it cannot be told anew."""
    return (pair for pair in itertools.pairwise(words) if pair[0].startswith((_STORAGE, "--root", "--uid-", "--gid-")))


def _replace(process: Process, config: Config) -> Process:
    """End one that serves another root or storage driver, and start our own; containers do not notice."""
    signal.pidfd_send_signal(process.pidfd, signal.SIGTERM)
    if not select.select([process.pidfd], [], [], _END)[0]:
        signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
        select.select([process.pidfd], [], [])
    os.close(process.pidfd)
    return launch(config)


def program() -> str:
    """docker-containerd beside this program, or in PATH."""
    beside = Path(sys.argv[0]).absolute().parent / PROGRAM
    if beside.exists():
        return str(beside)
    found = which(PROGRAM)
    if not found:
        raise Unavailable(f"{PROGRAM} is neither beside {sys.argv[0]} nor in PATH: install the package again")
    return found


_FILES: Final = resource.getrlimit(resource.RLIMIT_NOFILE)
"""Containers inherit what dockerd was started with, not what it raises for itself."""


def raise_limits() -> None:
    """As many open files for dockerd as it may have."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES[1], _FILES[1]))
