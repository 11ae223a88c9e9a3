"""After the death of a shim: nothing of its container goes on, and how its init ended is found out."""

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Final

from services.containerd.runtime import cgroup, reaper
from services.containerd.runtime.bundle import Bundle, Exit, boot_id
from services.containerd.runtime.launch import Launcher

log = logging.getLogger("burial")

_KILLED: Final = 137
_PATIENCE: Final = 5.0


async def bury(bundle: Bundle, program: Path, boot: str, launcher: Launcher) -> Exit:
    """Kill what is left, have the shim's `delete` clear away; the exit that is known, or 137.

    What the shim wrote into the bundle counts first, then a status that fell to us as the orphan's reaper.
    `boot` is the boot the shim ran in, "" where that is not known: of another one nothing can be left.
    """
    known = bundle.exit()
    pid = bundle.init_pid()
    status = None
    if boot in ("", boot_id()):
        status = await _kill(bundle, pid)
    answer = await launcher.delete(bundle, program)
    if not await asyncio.to_thread(cgroup.remove, bundle.cgroups_path()):
        log.warning("control groups left behind id=%s path=%s", bundle.id, bundle.cgroups_path())
    if known is not None:
        return known
    if status is not None:
        return Exit(pid, status, time.time_ns())
    return answer or Exit(pid, _KILLED, time.time_ns())


async def _kill(bundle: Bundle, pid: int) -> int | None:
    """Kill the container's group; the status of its init if that is our child by now."""
    watched = _watch(pid)
    groups = cgroup.of_process(pid) if pid else {}
    # The pid may be another process's by now; its group shows whether it is.
    groups = {controller: path for controller, path in groups.items() if bundle.id in path}
    group = cgroup.find(groups, bundle.cgroups_path())
    if group is not None:
        try:
            await asyncio.to_thread(cgroup.kill, group)
        except OSError as error:
            log.warning("group not killed id=%s group=%s error=%s", bundle.id, group, error)
    if watched < 0:
        return None
    try:
        await _readable(watched)
    finally:
        os.close(watched)
    return reaper.reap(pid)


def _watch(pid: int) -> int:
    """A pidfd of our child `pid`; -1 where it is none of ours."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return os.pidfd_open(pid)
    except (ChildProcessError, ProcessLookupError, OSError):
        return -1


async def _readable(pidfd: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        async with asyncio.timeout(_PATIENCE):
            await ended.wait()
    except TimeoutError:
        log.error("init does not end though it was killed pidfd=%d", pidfd)
    finally:
        loop.remove_reader(pidfd)
