"""What the zygote rehearses with ends with it, however that ends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.wait import until


@pytest.fixture
def zygote(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """Held in the midst of its rehearsal, and the channel to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    program = Path(sys.executable).with_name("docker-containerd-shim")
    process = subprocess.Popen([program, "zygote", str(theirs.fileno()), tmp_path / "r"], pass_fds=[theirs.fileno()])
    theirs.close()
    with ours:
        try:
            until(lambda: held(process.pid, tmp_path), "it rehearses", 30)
            yield process, ours
        finally:
            process.kill()
            process.wait()


def held(pid: int, place: Path) -> bool:
    """Stopped while something runs that it rehearses with; that takes a moment only."""
    if not (place / "r/0").exists():
        return False
    os.kill(pid, signal.SIGSTOP)
    if rehearsing(place):
        return True
    os.kill(pid, signal.SIGCONT)
    return False


def rehearsing(place: Path) -> list[int]:
    """The runtime and its init, by their script."""
    found = []
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(place / "r/runc").encode() in status.read_bytes():
                found.append(int(status.parent.name))
        except OSError:
            continue
    return found


def test_killed(zygote: tuple[subprocess.Popen[bytes], socket.socket], tmp_path: Path) -> None:
    process, _ = zygote
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not rehearsing(tmp_path), "what it rehearsed with ends")


def test_left_alone(zygote: tuple[subprocess.Popen[bytes], socket.socket], tmp_path: Path) -> None:
    process, channel = zygote
    channel.shutdown(socket.SHUT_RDWR)
    os.kill(process.pid, signal.SIGCONT)
    assert process.wait(30) == 0
    until(lambda: not rehearsing(tmp_path), "what it rehearsed with ends")
    assert not (tmp_path / "r").exists()
