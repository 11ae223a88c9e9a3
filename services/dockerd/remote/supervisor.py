"""Keeps docker-containerd running: adopts or starts it, watches it by pidfd, restarts it, and ends it last.

It is nobody's hostage: a dockerd that dies leaves it running, the next one adopts it. Containers outlive both.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Final

from protos.errdefs import EngineError, Unavailable
from services.dockerd.config import Config
from services.dockerd.metrics import meter
from services.dockerd.remote import launch
from services.dockerd.remote.launch import Process

log = logging.getLogger("supervisor")

START: Final = 60.0
"""Seconds docker-containerd has to say that it is ready."""
STOP: Final = 20.0
ELDER: Final = 20.0
"""Seconds that one which holds the root already has to serve."""
_PAUSE: Final = 0.05
LASTING: Final = 2.0
"""Seconds of service after which a process counts as healthy: it was ended from outside, and is replaced at once."""
_DELAYS: Final = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
"""For one that does not come up, or falls at its first work, again and again; never as long as a request waits."""


class Supervisor:
    def __init__(self, config: Config, process: Process | None, answers: Callable[[], Awaitable[bool]]) -> None:
        """`answers`: whether docker-containerd answers a question of no consequence, within a time that is ample."""
        self.config = config
        self.process = process
        """None where `--containerd` names one that is not ours to keep."""
        self._answers = answers
        self._watch: asyncio.Task[None] | None = None
        self._serving = asyncio.Event()

    async def start(self) -> None:
        """Wait until docker-containerd serves; Unavailable with its own reason where it cannot.

        One that is found hung is ended, and another takes its place.
        """
        if self.process is None:
            return
        if self.process.ours:
            try:
                await self._ready(self.process)
            except Unavailable:
                self.process = await self._elder()
                if self.process is None:
                    raise
        if not self.process.ours:
            await self._adopt(self.process)
        self._serving.set()
        self._watch = asyncio.create_task(self._keep(), name="supervisor")

    async def _adopt(self, process: Process) -> None:
        if await self._answers():
            log.info("docker-containerd adopted pid=%d", process.pid)
            return
        _end_hung(process)
        await ended(process)
        _bury(process)
        self.process = launch.launch(self.config)
        await self._ready(self.process)

    async def revive(self) -> None:
        """Have another take the place of a docker-containerd that is hung; containers do not notice.

        Returns once that serves, or has had the time to. One that is being restarted is left to itself.
        """
        process = self.process
        if process is None or not self._serving.is_set() or await self._answers():
            return
        if process is self.process and self._serving.is_set():
            self._serving.clear()
            _end_hung(process)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START):
                await self._serving.wait()

    async def stop(self) -> None:
        """End docker-containerd, as the last of all."""
        if self._watch:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # it was quicker
            signal.pidfd_send_signal(process.pidfd, signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP):
                await ended(process)
        except TimeoutError:
            log.error("docker-containerd does not stop, killed pid=%d", process.pid)
            signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
            await ended(process)
        _bury(process)

    async def _ready(self, process: Process) -> None:
        """Read the word of a child; where it refuses, end what is left of it."""
        try:
            async with asyncio.timeout(START):
                word = await _line(process.ready)
        except TimeoutError:
            word = f"failed: it is not ready after {START:.0f} s"
        if word == "ready":
            log.info("docker-containerd started pid=%d", process.pid)
            return
        signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
        await ended(process)
        _bury(process)
        self.process = None
        reason = word.removeprefix("failed: ") or "it ended without a word, see its log above"
        raise Unavailable(f"failed to start docker-containerd: {reason}")

    async def _elder(self) -> Process | None:
        """One that an earlier dockerd began before it was killed, and that took the root before our own could."""
        for _ in range(int(ELDER / _PAUSE)):
            if found := launch.find(self.config.containerd_address):
                return found
            if not launch.locked(self.config):
                return None
            await asyncio.sleep(_PAUSE)
        return None

    async def _keep(self) -> None:
        """Restart docker-containerd whenever it ends, at once the first time, then with growing pauses."""
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            if self.process:
                since = loop.time()
                await ended(self.process)
                self._serving.clear()
                log.error("docker-containerd ended pid=%d status=%s", self.process.pid, _bury(self.process))
                self.process = None
                if loop.time() - since > LASTING:
                    tries = 0
            await asyncio.sleep(_DELAYS[min(tries, len(_DELAYS) - 1)])
            tries += 1
            try:
                self.process = launch.begin(self.config)
                meter.count("containerd_restarts")
                if self.process and self.process.ours:
                    await self._ready(self.process)
                if self.process:
                    self._serving.set()
            except (EngineError, OSError) as error:  # a full disk, or no process to be had, passes
                log.error("docker-containerd not restarted, trying again error=%s", error)


def _end_hung(process: Process) -> None:
    log.error("docker-containerd does not answer, killed; containers go on running pid=%d", process.pid)
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)


async def ended(process: Process) -> None:
    """Wait for the end of a process, child or not."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(process.pidfd, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(process.pidfd)


def _bury(process: Process) -> str:
    """Reap a process that has ended; how it ended, or "" for one that was not our child."""
    os.close(process.pidfd)
    if process.child is None:
        return ""
    code = process.child.wait()
    return str(code) if code >= 0 else signal.Signals(-code).name


async def _line(descriptor: int) -> str:
    """The first line of a pipe, which is closed then; "" where it ends before."""
    loop = asyncio.get_running_loop()
    os.set_blocking(descriptor, False)
    done = loop.create_future()
    data = b""

    def read() -> None:
        nonlocal data
        piece = os.read(descriptor, 4096)
        data += piece
        if (not piece or b"\n" in data) and not done.done():
            done.set_result(None)

    loop.add_reader(descriptor, read)
    try:
        await done
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return data.partition(b"\n")[0].decode(errors="replace")
