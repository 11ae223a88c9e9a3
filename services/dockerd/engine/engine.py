"""The engine: owns the stores, the clients and the index; no behaviour.

Verbs are functions in the files beside this one, each taking the Engine first. server.py makes one and then calls,
in this order, `restore.restore`, `monitor.start`; at the end `shutdown.shutdown`.
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.dockerd.config import Config
from services.dockerd.container.store import Store
from services.dockerd.container.view import View
from services.dockerd.engine.records import Exec
from services.dockerd.events import Journal
from services.dockerd.images.store import Images
from services.dockerd.network.controller import Controller
from services.dockerd.oci.inputs import Defaults
from services.dockerd.oci.user import User
from services.dockerd.plugins.registry import Plugins
from services.dockerd.remote.client import Client
from services.dockerd.volumes.store import Volumes

if TYPE_CHECKING:
    from services.dockerd.images.transfers import Transfers

log = logging.getLogger("engine")


@dataclass(slots=True)
class Engine:
    config: Config
    client: Client
    images: Images
    network: Controller
    volumes: Volumes
    events: Journal
    store: Store
    containers: View
    defaults: Defaults = field(default_factory=Defaults)
    """What of the configuration shapes every OCI document."""
    plugins: Plugins = field(default_factory=Plugins)
    execs: dict[str, Exec] = field(default_factory=dict)
    closing: bool = False
    """Set when dockerd is about to end: nothing is started any more, no policy applies."""
    follower: asyncio.Task[None] | None = None
    """Follows docker-containerd's events."""
    transfers: "Transfers | None" = None
    """Pulls and pushes; there from the first on."""
    users: dict[tuple[str, str, tuple[str, ...]], User] = field(default_factory=dict)
    """Identities already looked up in images: by image, user and groups."""
    clearing: set[asyncio.Task[None]] = field(default_factory=set)
    """What is left to do for containers that are off the books."""
    unsaved: set[str] = field(default_factory=set)
    """Ids of containers whose state the disk does not take yet."""
    background: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def owner(self) -> tuple[int, int]:
        """Uid and gid on the host of the containers' root."""
        return self.config.owners.root if self.config.owners else (0, 0)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run work that nobody awaits; its failure is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.background.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.background.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background work failed work=%s error=%s", task.get_name(), error, exc_info=error)
