"""`delete`: after a shim that died, end what it left of the container and say how its init ended.

Writes a binary DeleteResponse and nothing else to `out`. The status is the bundle's own, 137 where it has none.
"""

import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from protos.containerd.runtime.task.v3 import shim_pb2
from protos.errdefs import EngineError
from services.shim import linux
from services.shim.api import stamp
from services.shim.config import Config
from services.shim.log import setup
from services.shim.loop import Loop
from services.shim.process import record
from services.shim.reaper import Exit, Reaper
from services.shim.runtime import Runtime, Settings

log = logging.getLogger("cleanup")

_KILLED: Final = 137
_PATIENCE: Final = 30.0


def delete(config: Config, out: int) -> None:
    setup("debug" if config.debug else "info", container_id=config.id, namespace=config.namespace)
    _runtime_delete(config)
    with suppress(OSError):
        linux.umount(str(config.bundle / "rootfs"), linux.MNT_DETACH)
    ended = record.read(config.bundle) or Exit(_pid(config.bundle), _KILLED, time.time_ns())
    answer = shim_pb2.DeleteResponse(pid=ended.pid, exit_status=ended.status, exited_at=stamp(ended.at))
    os.write(out, answer.SerializeToString())


def _runtime_delete(config: Config) -> None:
    try:
        settings = Settings.load(config.bundle)
    except FileNotFoundError:  # no Create ever came
        return
    loop = Loop()
    runtime = Runtime(Reaper(loop), settings, config.id, config.bundle)
    try:
        loop.run_until(loop.spawn(loop.timeout(runtime.delete(force=True), _PATIENCE)))
    except (EngineError, TimeoutError) as error:
        log.warning("runtime delete failed error=%s", error)
    finally:
        loop.close()


def _pid(bundle: Path) -> int:
    try:
        return int((bundle / "init.pid").read_text())
    except (OSError, ValueError):
        return 0
