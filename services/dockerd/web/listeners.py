"""The sockets the API listens on, of each `-H`: bound early, so that clients queue instead of being refused, and
accepting once the engine stands. How an address is spelled: hosts.py.
"""

import contextlib
import grp
import logging
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from protos.errdefs import AlreadyExists, FailedPrecondition, InvalidArgument
from services.dockerd import activation, hosts
from services.dockerd.hosts import Host
from services.dockerd.rules import MAX_SOCKET_PATH

if TYPE_CHECKING:
    import ssl  # slow to load, and docker-containerd waits until the sockets are there

log = logging.getLogger("web")

BACKLOG: Final = 1024


@dataclass(frozen=True, slots=True)
class Listener:
    socket: socket.socket
    address: str
    """As people write it."""
    tls: "ssl.SSLContext | None" = None
    path: str = ""
    """Of a unix socket that we made; its file goes with the listener."""
    identity: tuple[int, int] = (0, 0)
    """Device and inode of that file: another daemon's, bound since, stays."""

    @property
    def tcp(self) -> bool:
        return self.socket.family != socket.AF_UNIX

    def close(self) -> None:
        self.socket.close()
        if self.path:
            with contextlib.suppress(FileNotFoundError):
                if _identity(self.path) == self.identity:
                    Path(self.path).unlink()


class Sockets(NamedTuple):
    """All that this daemon listens on."""

    api: list[Listener]
    metrics: socket.socket | None = None


def _identity(path: str) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_dev, found.st_ino


def open_all(addresses: Iterable[str], group: str, tls: "ssl.SSLContext | None" = None) -> list[Listener]:
    """The listeners of all addresses; all or none."""
    opened: list[Listener] = []
    try:
        for address in addresses:
            opened += open_one(address, group, tls)
    except BaseException:
        for listener in opened:
            listener.close()
        raise
    return opened


def open_one(address: str, group: str, tls: "ssl.SSLContext | None" = None) -> list[Listener]:
    """The listeners of one `-H`: a host name may have several addresses, systemd may pass several sockets."""
    try:
        host = hosts.parse(address, secure=tls is not None)
    except ValueError as error:
        raise InvalidArgument(f"failed to load listeners: {error}") from error
    if host.scheme == "unix":
        return [_unix(host.target, group)]
    if host.scheme == "fd":
        return [_passed(each, tls) for each in activation.take(host.target)]
    return _tcp(host, tls)


def _unix(path: str, group: str) -> Listener:
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise InvalidArgument(f"socket path {path} is longer than {MAX_SOCKET_PATH} bytes: choose a shorter one")
    gid = _group(group)
    _clear(path)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Nobody but root between bind and chmod.
    mask = os.umask(0o177)
    try:
        listening.bind(path)
    finally:
        os.umask(mask)
    os.chown(path, 0, gid)
    Path(path).chmod(0o660)
    listening.listen(BACKLOG)
    return Listener(listening, f"unix://{path}", path=path, identity=_identity(path))


def _clear(path: str) -> None:
    """Remove a socket nobody listens on any more; AlreadyExists where somebody does, or where it is no socket."""
    if not Path(path).exists():
        return
    if not Path(path).is_socket():
        raise AlreadyExists(f"can't create unix socket {path}: there is a file that is not a socket: remove it")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
    raise AlreadyExists(f"can't create unix socket {path}: a process listens on it: choose another by -H")


def _group(name: str) -> int:
    """The gid of --group; root's where the default group does not exist, as Docker does."""
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        if name == "docker":
            log.warning("could not change group of the API's socket to docker: group docker not found")
            return 0
        raise FailedPrecondition(f"failed to load listeners: group {name} not found") from None


def _passed(passed: socket.socket, tls: "ssl.SSLContext | None") -> Listener:
    """A socket that systemd made; the file of a unix one is systemd's too."""
    if passed.family == socket.AF_UNIX:
        return Listener(passed, f"fd://{passed.fileno()} (unix://{passed.getsockname()})")
    return _listener(passed, tls)


def _tcp(host: Host, tls: "ssl.SSLContext | None") -> list[Listener]:
    try:
        found = socket.getaddrinfo(host.target, host.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise InvalidArgument(f"failed to load listeners: listen {host}: {error.strerror}") from error
    if host.target == "localhost":
        # As Docker, one address of it: IPv4's where there is one.
        found = sorted(found, key=lambda each: each[0] != socket.AF_INET)[:1]
    return [_listener(_bind(family, target, host), tls) for family, _, _, _, target in dict.fromkeys(found)]


def _bind(family: int, target: tuple[object, ...], host: Host) -> socket.socket:
    # With the protocol said, for asyncio switches Nagle's algorithm off only then.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if target[0] == "::" else 1)
        listening.bind(target)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        shown = str(host).removeprefix("tcp://")
        problem = f"listen tcp {shown}: bind: {(error.strerror or str(error)).lower()}"
        raise FailedPrecondition(f"failed to load listeners: {problem}") from error
    return listening


def _listener(listening: socket.socket, tls: "ssl.SSLContext | None") -> Listener:
    host, port = listening.getsockname()[:2]
    shown = str(Host("tcp", host, port))
    if tls is None or tls.verify_mode.name != "CERT_REQUIRED":
        log.warning(
            "Binding to IP address without --tlsverify is insecure and gives root access on this machine to everyone "
            "who has access to your network. host=%s", shown
        )
        log.warning(
            "Binding to an IP address, even on localhost, without --tlsverify also gives every user of this machine "
            "root access. host=%s", shown
        )
    return Listener(listening, shown, tls)
