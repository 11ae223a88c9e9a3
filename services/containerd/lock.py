"""Who may use a root directory and a socket path: one process each."""

import fcntl
import os
import socket
from pathlib import Path

from protos import errdefs


def lock_root(root: Path) -> int:
    """Hold the root until this process ends; Unavailable names the process that holds it already."""
    descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
        os.close(descriptor)
        raise errdefs.Unavailable(f"root {root} is in use by another docker-containerd (pid {holder})") from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def claim_address(address: str) -> None:
    """Make way for a socket at `address`; AlreadyExists where somebody answers there."""
    path = Path(address)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists() and not path.is_socket():
        raise errdefs.AlreadyExists(f"address {address} is a file and no socket; it is left alone")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(address)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            path.unlink()
            return
    raise errdefs.AlreadyExists(f"address {address} is served by another process")
