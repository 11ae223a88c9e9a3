"""The sockets the API listens on: `unix:///path`, a bare `/path`, `tcp://host:port`; several at once.

They are bound early, so that clients queue instead of being refused, and accept once the engine stands.
Seam: a Listener says whether its connections are TLS; `fd://` will be one more way to make Listeners.
"""

import contextlib
import grp
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protos.errdefs import AlreadyExists, FailedPrecondition, InvalidArgument, Unimplemented
from services.dockerd.config import MAX_SOCKET_PATH

BACKLOG: Final = 1024
PLAIN_PORT: Final = 2375


@dataclass(frozen=True, slots=True)
class Listener:
    socket: socket.socket
    address: str
    """As people write it."""
    tls: bool = False
    path: str = ""
    """Of a unix socket; its file goes with the listener."""
    identity: tuple[int, int] = (0, 0)
    """Device and inode of that file: another daemon's, bound since, stays."""

    def close(self) -> None:
        self.socket.close()
        if self.path:
            with contextlib.suppress(FileNotFoundError):
                if _identity(self.path) == self.identity:
                    Path(self.path).unlink()


def _identity(path: str) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_dev, found.st_ino


def open_all(hosts: tuple[str, ...], group: str) -> list[Listener]:
    """One Listener per address; all or none."""
    opened: list[Listener] = []
    try:
        for host in hosts:
            opened += open_one(host, group)
    except BaseException:
        for listener in opened:
            listener.close()
        raise
    return opened


def open_one(host: str, group: str) -> list[Listener]:
    """The listeners of one `-H`; a host name may have several addresses."""
    scheme, separator, rest = host.partition("://")
    if not separator:
        scheme, rest = ("unix", host) if host.startswith("/") else ("tcp", host)
    if scheme == "unix":
        return [_unix(rest or "/var/run/docker.sock", group)]
    if scheme == "tcp":
        return _tcp(rest)
    if scheme == "fd":
        raise Unimplemented(f"-H {host}: sockets passed by systemd are not implemented yet: use unix:// or tcp://")
    raise InvalidArgument(f"invalid bind address format: {host}")


def _unix(path: str, group: str) -> Listener:
    if not path.startswith("/"):
        raise InvalidArgument(f"invalid bind address format: unix://{path}: the path must be absolute")
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
            return 0
        raise FailedPrecondition(f"failed to load listeners: group {name} not found") from None


def _tcp(address: str) -> list[Listener]:
    host, port = _split(address)
    try:
        # Without a host it is this machine alone, as in Docker: the API is root's.
        found = socket.getaddrinfo(host or "127.0.0.1", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise InvalidArgument(f"failed to load listeners: tcp://{address}: {error.strerror}") from error
    return [_bind(family, target, address) for family, _, _, _, target in dict.fromkeys(found)]


def _split(address: str) -> tuple[str, int]:
    bare = address.rstrip("/")
    host, colon, port = bare.rpartition(":")
    if not colon or bare.endswith("]"):
        host, port = bare, str(PLAIN_PORT)
    if not port.isdecimal() or int(port) > 65535 or "/" in bare:
        raise InvalidArgument(f"invalid bind address format: tcp://{address}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _bind(family: int, target: tuple[object, ...], address: str) -> Listener:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if target[0] == "::" else 1)
        listening.bind(target)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise FailedPrecondition(f"failed to load listeners: listen tcp {address}: bind: {error.strerror}") from error
    host, port = listening.getsockname()[:2]
    return Listener(listening, f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}")
