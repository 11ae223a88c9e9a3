"""The record of an exec."""

import asyncio
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, eq=False)
class Exec:
    """One `docker exec`: what was asked, and what became of it. Times are nanoseconds."""

    id: str
    container_id: str
    cmd: list[str]
    user: str = ""
    env: list[str] = field(default_factory=list)
    workdir: str = ""
    tty: bool = False
    privileged: bool = False
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    detach_keys: str | None = None
    console: tuple[int, int] = (0, 0)
    preparing: asyncio.Task[None] | None = None
    """Its registration with the shim, begun when it was made (engine/launch.py)."""
    registered: Any = None
    """What the shim knows of it, once it does."""
    pid: int = 0
    started_at: int = 0
    exit_code: int | None = None
    probe: bool = False
    """A health check's: Docker tells of it by events, but inspect does not list it."""
    starting: bool = False
    early: Any = None
    """An exit (engine/tasks.py) that came before the start's own answer."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once its start has succeeded or failed."""
    stream: Any = None
    """The connection (engine/streams.py) to the owner of its streams, while a client is attached."""
    pidfd: int = -1
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the exit code is known."""

    @property
    def running(self) -> bool:
        return self.pid != 0 and self.exit_code is None
