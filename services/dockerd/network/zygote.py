"""dockerd's side of docker-proxy's zygote: the warm process that proxies are forked from, as dockerd's own children."""

import array
import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from protos.errdefs import Unavailable
from services.dockerd.network.portmap import Published
from services.dockerd.network.threads import Threads

log = logging.getLogger("proxy")

BATCH: Final = 200
"""Listeners in one message; the kernel takes 253 descriptors."""
PATIENCE: Final = 20.0
P_PIDFD: Final = 3


class Zygote:
    def __init__(self, threads: Threads, directory: Path) -> None:
        self._threads = threads
        self._directory = directory
        self._channel: socket.socket | None = None
        self._pidfd = -1
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        async with self._turn:
            self._ensure()

    async def spawn(
        self, container_id: str, control_path: str, control: socket.socket, published: Sequence[Published]
    ) -> int:
        """Pid of a new proxy that has these sockets."""
        async with self._turn:
            for last in (False, True):
                ask = partial(_ask, self._ensure(), container_id, control_path, control, published)
                try:
                    return await self._threads.run(ask)
                except OSError as error:
                    self._drop()
                    if last:
                        raise Unavailable(f"docker-proxy could not be started: {error}") from error
                    log.warning("the zygote of docker-proxy is gone, starting another error=%s", error)
        raise AssertionError("the second attempt returns or raises")

    async def stop(self) -> None:
        async with self._turn:
            self._drop()

    def _ensure(self) -> socket.socket:
        """In the loop's own thread: the zygote asks the kernel to end it with the thread that made it."""
        if self._channel is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.settimeout(PATIENCE)
            command = [*program(), "zygote", str(self._directory)]
            environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
            actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
            pid = os.posix_spawnp(
                command[0], command, environment, file_actions=actions, setsigmask=(), setsigdef=range(1, 32)
            )
            self._pidfd = os.pidfd_open(pid)
            theirs.close()
            self._channel = ours
        return self._channel

    def _drop(self) -> None:
        if self._channel is None:
            return
        self._channel.close()
        self._channel = None
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.waitid(P_PIDFD, self._pidfd, os.WEXITED)
        except (ProcessLookupError, ChildProcessError):
            pass  # reaped already
        os.close(self._pidfd)


def program() -> list[str]:
    """Our docker-proxy: beside dockerd, or beside the interpreter, or in PATH."""
    for neighbour in (sys.argv[0], sys.executable):
        path = Path(neighbour).absolute().parent / "docker-proxy"
        if os.access(path, os.X_OK):
            return [str(path)]
    return [shutil.which("docker-proxy") or "docker-proxy"]


def _ask(
    channel: socket.socket, container_id: str, control_path: str, control: socket.socket, published: Sequence[Published]
) -> int:
    """One request, in as many messages as its descriptors need."""
    descriptors = [control.fileno(), *(each.listener.fileno() for each in published)]
    lines = ["", *(" ".join(map(str, each.binding)) + "\n" for each in published)]
    for start in range(0, len(descriptors), BATCH):
        end = start + BATCH
        head = f"{container_id}\t{control_path}\t{'more' if end < len(descriptors) else 'last'}\n"
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors[start:end]))]
        channel.sendmsg([(head + "".join(lines[start:end])).encode()], rights)
    reply = channel.recv(1 << 16).decode()
    if not reply.isdigit():
        raise ConnectionError(reply or "it ended")
    return int(reply)
