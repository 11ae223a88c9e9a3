"""docker-proxy processes: started, watched, found again, ended.

Ours: one per container, forked from the zygote with the listeners dockerd made. A foreign one
(`--userland-proxy-path`): one per binding, by the original's command line. A proxy that dies by itself is reported.
What proxies publish is read off their command lines, so a new dockerd needs nobody's files to find them.
"""

import asyncio
import hashlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from protos.binding import Binding, parse
from services.dockerd.metrics import meter
from services.dockerd.network.config import NetworkConfig
from services.dockerd.network.foreign import Foreign, bindings_of
from services.dockerd.network.portmap import Published
from services.dockerd.network.threads import Threads
from services.dockerd.network.zygote import Zygote

log = logging.getLogger("proxy")

COMM: Final = "docker-proxy"
P_PIDFD: Final = 3


@dataclass(slots=True)
class Process:
    pid: int
    pidfd: int
    bindings: tuple[Binding, ...]
    gone: asyncio.Event
    expected: bool = False
    """Its end is our doing."""


@dataclass(frozen=True, slots=True)
class Found:
    """A living proxy that no container of ours has claimed yet."""

    pid: int
    container_id: str
    """"" for a foreign one, which does not say."""
    bindings: tuple[Binding, ...]


class Proxies:
    def __init__(self, config: NetworkConfig, threads: Threads, on_death: Callable[[str], None]) -> None:
        self._threads = threads
        self._directory = config.exec_root / "proxy"
        self._on_death = on_death
        self._processes: dict[str, list[Process]] = {}
        self._foreign = Foreign(config.userland_proxy_path) if config.userland_proxy_path else None
        self._zygote = Zygote(threads, self._directory)

    async def warm_up(self) -> None:
        """Make the next start a quick one."""
        if self._foreign is None:
            await self._zygote.start()

    @meter.timed("proxy_starts")
    async def start(self, container_id: str, published: Sequence[Published]) -> None:
        """Have the container's ports forwarded; the listeners are closed here, whatever happens."""
        try:
            if self._foreign:
                for each in published:
                    pid = await self._threads.run(partial(self._foreign.spawn, each))
                    self._watch(container_id, pid, (each.binding,))
            elif published:
                pid = await self._fork(container_id, published)
                self._watch(container_id, pid, tuple(each.binding for each in published))
        finally:
            for each in published:
                each.listener.close()

    async def _fork(self, container_id: str, published: Sequence[Published]) -> int:
        path = self.control_path(container_id)
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            control.bind(str(path))
            control.listen()
            pid = await self._zygote.spawn(container_id, str(path), control, published)
            log.debug("docker-proxy started container=%s pid=%d ports=%d", container_id[:12], pid, len(published))
            return pid
        finally:
            control.close()

    def control_path(self, container_id: str) -> Path:
        """Short, for the kernel takes 107 bytes."""
        return self._directory / (hashlib.sha256(container_id.encode()).hexdigest()[:12] + ".sock")

    async def stop(self, container_id: str) -> None:
        """End a container's proxies, and with them their connections: the container is gone."""
        processes = self._processes.pop(container_id, [])
        for process in processes:
            process.expected = True
            _kill(process.pidfd)
        for process in processes:
            await process.gone.wait()
        if processes:
            self._remove_files(container_id)

    def _remove_files(self, container_id: str) -> None:
        path = self.control_path(container_id)
        path.unlink(missing_ok=True)
        path.with_suffix(".stacks.log").unlink(missing_ok=True)

    async def close(self) -> None:
        """Let the zygote go. Proxies stay."""
        await self._zygote.stop()
        for container_id in list(self._processes):
            for process in self._processes.pop(container_id):
                process.expected = True
                self._forget(process)

    # those that live already

    def find(self) -> list[Found]:
        """Proxies of this engine, by their command lines: ours have their control socket in our directory."""
        found = []
        for pid in _pids_of(COMM):
            arguments = _arguments(pid)
            if "-control" in arguments and arguments[arguments.index("-control") + 1].startswith(f"{self._directory}/"):
                found.append(Found(pid, arguments[arguments.index("-container-id") + 1], _bindings(arguments)))
            elif foreign := bindings_of(arguments):
                found.append(Found(pid, "", (foreign,)))
        return found

    def adopt(self, container_id: str, found: Found) -> bool:
        """Take a living proxy as the container's; False if it ended meanwhile."""
        try:
            self._watch(container_id, found.pid, found.bindings)
        except ProcessLookupError:
            return False
        return True

    async def end(self, found: Found) -> None:
        """End a proxy that serves nobody."""
        if self.adopt(key := f"stray {found.pid}", found):
            await self.stop(key)
        if found.container_id:
            self._remove_files(found.container_id)

    def published_by(self, container_id: str) -> list[Binding]:
        return [binding for process in self._processes.get(container_id, ()) for binding in process.bindings]

    def _watch(self, container_id: str, pid: int, bindings: tuple[Binding, ...]) -> None:
        process = Process(pid, os.pidfd_open(pid), bindings, asyncio.Event())
        self._processes.setdefault(container_id, []).append(process)
        asyncio.get_running_loop().add_reader(process.pidfd, self._ended, container_id, process)

    def _ended(self, container_id: str, process: Process) -> None:
        try:
            os.waitid(P_PIDFD, process.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            pass  # not our child, or reaped by somebody else
        self._forget(process)
        process.gone.set()
        if not process.expected:
            log.warning("docker-proxy died container=%s pid=%d", container_id[:12], process.pid)
            self._processes[container_id].remove(process)
            self._on_death(container_id)

    def _forget(self, process: Process) -> None:
        asyncio.get_running_loop().remove_reader(process.pidfd)
        os.close(process.pidfd)


def _kill(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _pids_of(comm: str) -> Iterator[int]:
    """Processes of that name in our network namespace."""
    here = os.stat("/proc/thread-self/ns/net").st_ino
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text().rstrip() == comm and (entry / "ns/net").stat().st_ino == here:
                    yield int(entry.name)
            except OSError:
                continue


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    except OSError:
        return []


def _bindings(arguments: list[str]) -> tuple[Binding, ...]:
    return tuple(binding for text in arguments if "->" in text for binding in parse(text))
