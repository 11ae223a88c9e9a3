"""Network namespaces: made, pinned by a bind mount, entered; each time in a short-lived thread of its own.

`unshare` and `setns` of a network namespace change the calling thread alone, so such a thread simply ends afterwards.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

CLONE_NEWNET: Final = 0x40000000
MS_BIND: Final = 4096
MNT_DETACH: Final = 2
NSFS_MAGIC: Final = 0x6E736673

T = TypeVar("T")
_libc: Final = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


def create(path: Path, fill: Callable[[], T]) -> T:
    """Make a network namespace, pin it at `path`, and run `fill` inside it."""

    def make() -> T:
        _check(_libc.unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)")
        path.touch(0o444)
        source = f"/proc/self/task/{threading.get_native_id()}/ns/net"
        _check(_libc.mount(source.encode(), bytes(path), b"none", MS_BIND, None), f"mount {path}")
        return fill()

    return in_thread(make)


def pin(path: Path, pid: int, fill: Callable[[], T]) -> T:
    """Pin the network namespace of a process at `path`, and run `fill` inside it."""
    path.touch(0o444)
    _check(_libc.mount(f"/proc/{pid}/ns/net".encode(), bytes(path), b"none", MS_BIND, None), f"mount {path}")
    return inside(path, fill)


def inside(path: Path, action: Callable[[], T]) -> T:
    """Run `action` in the namespace pinned at `path`, or named by a `/proc/<pid>/ns/net`."""

    def enter() -> T:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(descriptor, CLONE_NEWNET), f"setns {path}")
        finally:
            os.close(descriptor)
        return action()

    return in_thread(enter)


def remove(path: Path) -> None:
    """Let the namespace go; fine if there is none."""
    _libc.umount2(bytes(path), MNT_DETACH)
    path.unlink(missing_ok=True)


def is_pinned(path: Path) -> bool:
    """Whether a network namespace is mounted at `path`, not just an empty file left by a reboot."""
    try:
        return path.stat().st_dev == os.stat("/proc/self/ns/net").st_dev
    except OSError:
        return False


def in_thread(action: Callable[[], T]) -> T:
    """The outcome of `action` in a new thread that ends with it."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(action())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work, name="netns")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
