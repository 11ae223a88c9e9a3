"""Sockets that systemd opened for us (sd_listen_fds): LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES.

They are claimed as the process begins: whoever inherited the variables, a container in the end, would take what it
finds at those numbers for its own.
"""

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final

from protos.errdefs import FailedPrecondition

FIRST: Final = 3


@dataclass(frozen=True, slots=True)
class Passed:
    descriptor: int
    name: str


_claimed: list[Passed] = []


def claim(environment: MutableMapping[str, str] = os.environ) -> None:
    """Take the variables out of the environment, and remember what they say if it is for us."""
    pid, count, names = (environment.pop(f"LISTEN_{key}", "") for key in ("PID", "FDS", "FDNAMES"))
    if pid != str(os.getpid()) or not count.isdecimal():
        return
    named = names.split(":") if names else []
    _claimed[:] = [
        Passed(FIRST + index, named[index] if index < len(named) else "unknown") for index in range(int(count))
    ]


def take(address: str) -> list[socket.socket]:
    """The sockets that `fd://<address>` means: all of them, one by its number, or those of a name."""
    if not _claimed:
        raise FailedPrecondition(
            "failed to load listeners: no sockets found via socket activation: make sure the service was started by "
            "systemd"
        )
    if not address:
        chosen = list(_claimed)
    elif address.isdecimal():
        if int(address) >= FIRST + len(_claimed):
            raise FailedPrecondition("failed to load listeners: too few socket activated files passed in by systemd")
        chosen = [each for each in _claimed if each.descriptor == int(address)]
    else:
        chosen = [each for each in _claimed if each.name == address]
    if not chosen:
        there = ", ".join(each.name for each in _claimed)
        raise FailedPrecondition(
            "failed to load listeners: failed to parse systemd fd address: should be a number or the name of a socket "
            f"({there}): {address}"
        )
    return [_open(each) for each in chosen]


def _open(passed: Passed) -> socket.socket:
    try:
        # A copy: the same one may be asked for twice.
        made = socket.socket(fileno=os.dup(passed.descriptor))
    except OSError as error:
        problem = f"failed to listen on systemd activated file: fd {passed.descriptor}: {error.strerror}"
        raise FailedPrecondition(f"failed to load listeners: {problem}") from error
    if made.type != socket.SOCK_STREAM or not made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        made.close()
        raise FailedPrecondition(
            f"failed to load listeners: failed to listen on systemd activated file: fd {passed.descriptor}: it is no "
            "stream socket that listens"
        )
    return made
