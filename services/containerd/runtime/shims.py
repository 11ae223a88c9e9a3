"""The shims of every namespace, from the moment they are started or found again to their burial.

The task of a shim that died stays as STOPPED, with what is known of its end, until somebody deletes or replaces it;
its exit and delete events went out when that was found.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf import any_pb2, timestamp_pb2
from google.protobuf.message import Message

from protos import errdefs
from protos.containerd.events import task_pb2 as events_pb2
from protos.containerd.runtime.task.v3 import shim_pb2
from services.containerd.runtime.bundle import Bundle, Exit
from services.containerd.runtime.burial import bury
from services.containerd.runtime.launch import Launcher
from services.containerd.runtime.reaper import Reaper
from services.containerd.runtime.shim import Shim
from services.containerd.runtime.zygote import Zygote

log = logging.getLogger("shims")

Publish = Callable[[str, str, Message], None]
"""publish(namespace, topic, event message): hands an event to the exchange; never blocks."""

Key = tuple[str, str]

_AT_ONCE: Final = 16
"""Bundles adopted at the same time."""
_LOOK: Final = 2.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the runtime keeps and finds things."""

    state: Path
    """`--state`, of this boot: bundles and shim sockets lie below it."""
    address: str
    """Path of docker-containerd's own socket, where shims forward their events to."""
    shim: Path
    """The docker-containerd-shim executable."""
    debug: bool = False


class Shims:
    """By namespace and container id."""

    def __init__(self, settings: Settings, publish: Publish) -> None:
        self.settings = settings
        self._publish = publish
        self._shims: dict[Key, Shim] = {}
        self._zygote = Zygote(settings.shim, settings.state / "rehearsal")
        self._launcher = Launcher(settings.shim, settings.state, settings.address, settings.debug, self._zygote)
        self._reaper = Reaper(self._owns)
        self._background: set[asyncio.Task[None]] = set()

    # life

    async def start(self) -> None:
        """Start the zygote, connect to the shims found in bundles, clean up after those that died meanwhile."""
        self._zygote.open()
        self._reaper.open()
        limit = asyncio.Semaphore(_AT_ONCE)

        async def adopt(bundle: Bundle) -> None:
            async with limit:
                await self._adopt(bundle)

        await asyncio.gather(*(adopt(bundle) for bundle in Bundle.all(self.settings.state)))

    async def stop(self) -> None:
        """End the zygote and all connections; containers and their shims go on."""
        self._reaper.close()
        for shim in self._shims.values():
            shim.forget()
        for task in list(self._background):
            task.cancel()
        self._zygote.close()

    def get(self, namespace: str, container_id: str) -> Shim | None:
        shim = self._shims.get((namespace, container_id))
        return shim if shim is not None and shim.created else None

    def all(self, namespace: str) -> list[Shim]:
        return [shim for (space, _), shim in self._shims.items() if space == namespace and shim.created]

    async def cleared(self, namespace: str, container_id: str) -> None:
        """Return once nothing of a shim that died before it had a task is left."""
        shim = self._shims.get((namespace, container_id))
        if shim is not None and not shim.created:
            await asyncio.shield(shim.exit)

    def _owns(self, pid: int) -> bool:
        return pid == self._zygote.pid or any(shim.pid == pid for shim in self._shims.values())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside everything else."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _adopt(self, bundle: Bundle) -> None:
        try:
            shim = await self._launcher.adopt(bundle, self._died)
        except errdefs.NotFound:
            bundle.remove()
            return
        except errdefs.EngineError as error:
            log.warning("shim found dead id=%s namespace=%s reason=%s", bundle.id, bundle.namespace, error)
            shim = Shim(bundle, bundle.server(), None)
            shim.created = bundle.init_pid() != 0
            self._shims[bundle.namespace, bundle.id] = shim
            self.spawn(self._bury(shim))
            return
        if not shim.created and not await _has_task(shim):
            log.warning("shim without a task is ended id=%s namespace=%s", bundle.id, bundle.namespace)
            await self.discard(shim)
            return
        shim.created = True
        self._shims[bundle.namespace, bundle.id] = shim
        log.info("shim adopted id=%s namespace=%s pid=%d", bundle.id, bundle.namespace, shim.pid)

    async def launch(self, bundle: Bundle, program: Path, options: any_pb2.Any) -> Shim:
        """A shim that has no task yet; `keep` or `discard` is next."""
        try:
            return await self._launcher.start(bundle, program, options, self._died)
        except BaseException:
            await asyncio.shield(bury(bundle, program, "", self._launcher))
            bundle.remove()
            raise

    def keep(self, shim: Shim) -> None:
        """It has a task now."""
        shim.created = True
        self._shims[shim.bundle.namespace, shim.bundle.id] = shim
        if not shim.alive:
            self.spawn(self._bury(shim))

    # death

    def _died(self, shim: Shim) -> None:
        log.error("shim died id=%s namespace=%s pid=%d", shim.bundle.id, shim.bundle.namespace, shim.pid)
        if shim.created:
            self.spawn(self._bury(shim))

    async def _bury(self, shim: Shim) -> None:
        bundle, server = shim.bundle, shim.server
        try:
            ended = await bury(bundle, Path(server.program), server.identity.boot, self._launcher)
        except Exception:  # whatever it is, those who wait for the exit get one
            log.exception("burial failed id=%s", bundle.id)
            ended = bundle.exit() or Exit(bundle.init_pid(), 137, time.time_ns())
        try:
            bundle.save_exit(ended)
        except OSError as error:
            log.error("exit is not on disk id=%s error=%s", bundle.id, error)
        Path(shim.path).unlink(missing_ok=True)
        shim.exit.set_result(ended)
        if shim.created:
            at = stamp(ended.at)
            self._publish(bundle.namespace, "/tasks/exit", events_pb2.TaskExit(
                container_id=bundle.id, id=bundle.id, pid=ended.pid, exit_status=ended.status, exited_at=at
            ))
            self._publish(bundle.namespace, "/tasks/delete", events_pb2.TaskDelete(
                container_id=bundle.id, pid=ended.pid, exit_status=ended.status, exited_at=at
            ))
        else:
            self.drop(shim)

    async def discard(self, shim: Shim) -> None:
        """A shim whose container did not come to be: nothing of it stays."""
        shim.release()
        if shim.alive:
            await shim.shut_down(now=True)
            shim.kill()
        server = shim.server
        await bury(shim.bundle, Path(server.program), server.identity.boot, self._launcher)
        Path(shim.path).unlink(missing_ok=True)
        shim.bundle.remove()

    def drop(self, shim: Shim) -> None:
        """Its task is gone, and its bundle with it."""
        self._shims.pop((shim.bundle.namespace, shim.bundle.id), None)
        shim.bundle.remove()

    async def end_of(self, shim: Shim) -> Exit | None:
        """After a broken call: how the container of a shim that died ended, None where the shim lives."""
        await asyncio.wait([shim.exit], timeout=0.1)
        return None if shim.alive else await asyncio.shield(shim.exit)


async def _has_task(shim: Shim) -> bool:
    """A shim that does not answer may have one."""
    try:
        await shim.call("State", shim_pb2.StateRequest(id=shim.bundle.id), shim_pb2.StateResponse, _LOOK)
    except errdefs.NotFound:
        return False
    except errdefs.EngineError as error:
        log.warning("shim does not tell its state id=%s error=%s", shim.bundle.id, error)
    return True


def stamp(nanoseconds: int) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=nanoseconds // 10**9, nanos=nanoseconds % 10**9)


def nanoseconds(stamp: timestamp_pb2.Timestamp) -> int:
    return stamp.seconds * 10**9 + stamp.nanos
