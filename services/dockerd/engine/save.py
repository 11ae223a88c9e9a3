"""Writing down what has happened to a container: a full disk must not undo it or stop what follows, and is tried again.

What a request asks for, and can be refused, is written by `engine.store` itself.
"""

import asyncio
import contextlib
import logging
from typing import Final

from services.dockerd.container.container import Container
from services.dockerd.engine.engine import Engine

log = logging.getLogger("save")

_AGAIN: Final = 5.0
"""Seconds until a state that could not be written is tried again."""


def save(engine: Engine, container: Container) -> None:
    """Write the state, now or as soon as the disk takes it."""
    try:
        engine.store.save(container)
    except OSError as error:
        if container.id not in engine.unsaved:
            log.error("state not written, to be tried again container=%s error=%s", container.short, error)
            engine.unsaved.add(container.id)
            engine.spawn(_later(engine, container), f"save {container.short}")


async def _later(engine: Engine, container: Container) -> None:
    try:
        while True:
            await asyncio.sleep(_AGAIN)
            with contextlib.suppress(OSError):
                engine.store.save(container)
                return
    finally:
        engine.unsaved.discard(container.id)
