"""One container as dockerd knows it: its configuration, its state, and what hangs on it while dockerd runs.

No behaviour beyond small questions; verbs are in engine/, files in store.py, the list's bytes in view.py.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.dockerd.config import Runtime
from services.dockerd.container.restart import Backoff
from services.dockerd.container.state import State
from services.dockerd.schema.container import ContainerConfig, EndpointSettings, HostConfig
from services.dockerd.volumes.mountpoint import MountPoint


@dataclass(slots=True)
class Health:
    """State.Health of inspect; `log` holds the last five probes as Docker shows them."""

    status: str = "starting"
    streak: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {"Status": self.status, "FailingStreak": self.streak, "Log": self.log}


@dataclass(slots=True)
class Outcome:
    """What `wait` answers."""

    code: int
    error: str = ""


@dataclass(slots=True, eq=False)
class Container:
    id: str
    name: str
    created: int
    path: str
    args: list[str]
    config: ContainerConfig
    host: HostConfig
    image: str
    """`sha256:…` of the image's configuration, "" where the image is gone from the record."""
    driver: str
    """The snapshotter that holds its file system; its key there is the id."""
    directory: Path
    endpoints: dict[str, EndpointSettings] = field(default_factory=dict)
    """What was asked of each network, by the network's name."""
    mounts: list[MountPoint] = field(default_factory=list)
    state: State = field(default_factory=State)
    restart_count: int = 0
    started_before: bool = False
    manually_stopped: bool = False
    runtime: Runtime | None = None
    """What its runtime's name meant when it was last created or started: it keeps that should the name go."""
    boot_id: str = ""
    """Of the machine when it was last started; another one means that it cannot be running."""
    health: Health | None = None
    unreadable: str = ""
    """What is wrong with its hostconfig.json; it is listed, but cannot be started."""

    # Below: of this dockerd's life only.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by one verb at a time; reads and exits never wait for it."""
    backoff: Backoff = field(default_factory=Backoff)
    starting: bool = False
    """Between the decision to start it and the state that shows it."""
    early: Any = None
    """An exit (engine/tasks.py) that came before the start's own answer."""
    released: bool = True
    """Its network and mounts of the last run are given back."""
    keep: bool = False
    """`restart` is at work: an exit does not remove it."""
    pristine: bool = False
    """Its files are still the image's."""
    rootfs: list[Any] = field(default_factory=list)
    """The mounts of its file system, once known."""
    graph: dict[str, str] | None = None
    """`GraphDriver.Data`, once known, where its storage driver has any."""
    pending: list[Any] = field(default_factory=list)
    """Clients (engine/attach.py) that attached before the start."""
    waiters: dict[str, list[asyncio.Future[Outcome]]] = field(default_factory=dict)
    """By condition: not-running, next-exit, removed."""
    prepared: asyncio.Task[None] | None = None
    """Makes docker-containerd's record of it, ahead of its first start."""
    settled: asyncio.Task[None] | None = None
    """Cleaning up after the last exit; a start awaits it."""
    retry: asyncio.Task[None] | None = None
    """The restart its policy has decided."""
    execs: set[str] = field(default_factory=set)
    spec: bytes = b""
    """The OCI spec that docker-containerd has for it, to send only what changed."""
    probe: asyncio.Task[None] | None = None
    """Runs its health check."""

    @property
    def short(self) -> str:
        return self.id[:12]

    @property
    def log_path(self) -> str:
        """Where json-file writes; "" under another driver."""
        return str(self.directory / f"{self.id}-json.log") if self.host.LogConfig.Type == "json-file" else ""

    @property
    def labels(self) -> dict[str, str]:
        return self.config.Labels or {}

    @property
    def stop_signal(self) -> str:
        return self.config.StopSignal or "SIGTERM"

    def stop_timeout(self) -> int:
        """Seconds between the stop signal and SIGKILL; negative for ever."""
        return 10 if self.config.StopTimeout is None else self.config.StopTimeout
