"""One daemon per data root, exec root and pid file: a lock that dies with its holder, a pid file for people."""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from protos.errdefs import AlreadyExists, FailedPrecondition

NAME: Final = "dockerd.lock"
GRACE: Final = 5.0


def hold(root: Path, mode: int = 0o710, flag: str = "--data-root") -> int:
    """Lock a root, made if it is missing; the descriptor holds the lock. AlreadyExists says who has it."""
    try:
        root.mkdir(mode=mode, parents=True, exist_ok=True)
        descriptor = os.open(root / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FailedPrecondition(f"failed to start daemon: {flag} {root}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode().strip()
        os.close(descriptor)
        raise AlreadyExists(
            f"failed to start daemon: {flag[2:].replace('-', ' ')} {root} is in use by dockerd with PID "
            f"{holder or 'unknown'}: stop it, or choose another {flag}"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def write_pid(path: Path) -> None:
    """Write our pid; AlreadyExists where the file names a daemon that lives. A stale file is replaced."""
    pid = living(path)
    if pid:
        raise AlreadyExists(
            f"failed to start daemon, ensure docker is not running or delete {path}: process with PID {pid} is still "
            "running"
        )
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(str(os.getpid()))
        fresh.rename(path)
    except OSError as error:
        raise FailedPrecondition(f"failed to start daemon: --pidfile {path}: {error.strerror}") from error


def remove_pid(path: Path) -> None:
    """Remove the file if it is still ours."""
    if _read(path) == os.getpid():
        path.unlink(missing_ok=True)


def living(path: Path) -> int:
    """The daemon a pid file names, 0 where there is none: a number that went to another program since is stale."""
    pid = _read(path)
    if not pid or pid == os.getpid():
        return 0
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        written = path.stat().st_mtime
    except OSError:
        return 0
    if "(dockerd)" not in stat or stat.rpartition(")")[2].split()[0] in "ZX":
        return 0
    # Who wrote the file was there before it, with some grace for a clock that was set since.
    return pid if started(stat) <= written + GRACE else 0


def started(stat: str) -> float:
    """When a process began, in seconds since the epoch, from its /proc/<pid>/stat."""
    ticks = int(stat.rpartition(")")[2].split()[19])
    now = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return now + ticks / os.sysconf("SC_CLK_TCK")


def _read(path: Path) -> int:
    try:
        return int(path.read_text().strip() or 0)
    except (OSError, ValueError):
        return 0
