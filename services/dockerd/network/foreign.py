"""Somebody else's docker-proxy: one process per binding, by the original's command line and descriptors."""

import fcntl
import itertools
import os
import select
from collections.abc import Sequence
from typing import Any, Final

from protos.binding import Binding
from protos.errdefs import Internal, Unavailable
from services.dockerd.network import command
from services.dockerd.network.portmap import Published

READY: Final = 3
LISTENER: Final = 4
PATIENCE: Final = 16.0
FRESH: Final[dict[str, Any]] = {"setsid": True, "setsigmask": (), "setsigdef": range(1, 32)}
FLAGS: Final = ("-proto", "-host-ip", "-host-port", "-container-ip", "-container-port")


class Foreign:
    def __init__(self, program: str) -> None:
        self._program = program
        self._takes_listener: bool | None = None

    def spawn(self, published: Published) -> int:
        """Pid of the proxy once it is ready. Blocking."""
        if self._takes_listener is None:
            self._takes_listener = _takes_listener(self._program)
        reader, writer = os.pipe()
        try:
            pid = self._spawn(published, writer)
            os.close(writer)
            writer = -1
            said = _read(reader)
        finally:
            os.close(reader)
            if writer >= 0:
                os.close(writer)
        if not said.startswith("0\n"):
            raise Internal(f"Error starting userland proxy: {said.partition(chr(10))[2] or 'it does not say why'}")
        return pid

    def _spawn(self, published: Published, writer: int) -> int:
        binding = published.binding
        words = [self._program, *arguments(binding)]
        # Duplicates above the fixed numbers, since a dup2 there could hit the source of the next.
        ready = _high(writer)
        actions = [(os.POSIX_SPAWN_DUP2, ready, READY)]
        held = [ready]
        if self._takes_listener:
            held.append(listener := _high(published.listener.fileno()))
            actions.append((os.POSIX_SPAWN_DUP2, listener, LISTENER))
            words.append("-use-listen-fd")
        else:
            published.listener.close()
        try:
            return os.posix_spawn(self._program, words, os.environ, file_actions=actions, **FRESH)
        except OSError as error:
            raise Unavailable(f"cannot run the userland proxy {self._program}: {error.strerror}") from error
        finally:
            for descriptor in held:
                os.close(descriptor)


def arguments(binding: Binding) -> list[str]:
    return [word for flag, value in zip(FLAGS, binding, strict=True) for word in (flag, str(value))]


def bindings_of(words: Sequence[str]) -> Binding | None:
    """What a proxy with that command line publishes."""
    values = dict(itertools.pairwise(words))
    try:
        protocol, host_ip, host_port, container_ip, container_port = (values[flag] for flag in FLAGS)
        return Binding(protocol, host_ip, int(host_port), container_ip, int(container_port))
    except (KeyError, ValueError):
        return None


def _takes_listener(program: str) -> bool:
    """Whether it knows -use-listen-fd; releases before 28 do not, and make their own listener."""
    output = command.hear((program, "-h"))
    return "use-listen-fd" in output.stdout + output.stderr


def _high(descriptor: int) -> int:
    return int(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10))


def _read(reader: int) -> str:
    """All that it says before it closes its end."""
    said = b""
    while select.select([reader], [], [], PATIENCE)[0]:
        data = os.read(reader, 4096)
        if not data:
            return said.decode(errors="replace")
        said += data
        if said == b"0\n":
            break
    return said.decode(errors="replace")
