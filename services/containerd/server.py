"""Wiring of docker-containerd: opens the stores, builds the services on them, serves, and undoes it in reverse."""

import gc
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, cast

from grpc import aio

from protos import errdefs
from protos.channel import OPTIONS
from protos.containerd.services.containers.v1.containers_pb2_grpc import add_ContainersServicer_to_server
from protos.containerd.services.content.v1.content_pb2_grpc import add_ContentServicer_to_server
from protos.containerd.services.diff.v1.diff_pb2_grpc import add_DiffServicer_to_server
from protos.containerd.services.events.v1.events_pb2_grpc import add_EventsServicer_to_server
from protos.containerd.services.images.v1.images_pb2_grpc import add_ImagesServicer_to_server
from protos.containerd.services.introspection.v1.introspection_pb2 import Plugin
from protos.containerd.services.introspection.v1.introspection_pb2_grpc import add_IntrospectionServicer_to_server
from protos.containerd.services.leases.v1.leases_pb2_grpc import add_LeasesServicer_to_server
from protos.containerd.services.namespaces.v1.namespace_pb2_grpc import add_NamespacesServicer_to_server
from protos.containerd.services.snapshots.v1.snapshots_pb2_grpc import add_SnapshotsServicer_to_server
from protos.containerd.services.tasks.v1.tasks_pb2_grpc import add_TasksServicer_to_server
from protos.containerd.services.version.v1.version_pb2_grpc import add_VersionServicer_to_server
from protos.containerd.types.mount_pb2 import Mount
from protos.rpc import Boundary
from services.containerd import inspection, lock
from services.containerd.api.containers import ContainersService
from services.containerd.api.content import ContentService
from services.containerd.api.diff import DiffService
from services.containerd.api.events import EventsService
from services.containerd.api.images import ImagesService
from services.containerd.api.introspection import IntrospectionService, plugins, refused_plugin, snapshotter_plugin
from services.containerd.api.leases import LeasesService
from services.containerd.api.namespaces import NamespacesService
from services.containerd.api.snapshots import SnapshotsService
from services.containerd.api.tasks import TasksService
from services.containerd.api.version import VersionService
from services.containerd.collector import Collector
from services.containerd.config import Config
from services.containerd.content.store import ContentStore
from services.containerd.diff.differ import Differ
from services.containerd.diff.mounted import unmount_leftovers
from services.containerd.diff.whiteout import Form
from services.containerd.events.exchange import Exchange
from services.containerd.metadata.containers import Containers
from services.containerd.metadata.content import ContentRows
from services.containerd.metadata.db import Database
from services.containerd.metadata.images import Images
from services.containerd.metadata.leases import Leases
from services.containerd.metadata.namespaces import Namespaces
from services.containerd.metadata.snapshots import SnapshotRows
from services.containerd.runtime.shims import Settings
from services.containerd.runtime.tasks import Tasks
from services.containerd.snapshots.aufs import Aufs
from services.containerd.snapshots.choice import Choice
from services.containerd.snapshots.choice import choose as choose_drivers
from services.containerd.snapshots.overlay import Overlay
from services.containerd.snapshots.snapshotter import Snapshotter, choose
from services.containerd.upkeep import Upkeep

log = logging.getLogger("server")

GRACE: Final = 0.5
"""Seconds that calls under way get when the server stops; those that live long are cut."""


class Core:
    """The stores, and what runs on them; no wire."""

    def __init__(self, config: Config, db: Database) -> None:
        self.config = config
        self.db = db
        self.exchange = Exchange()
        self.leases = Leases(db)
        self.namespaces = Namespaces(db)
        self.containers = Containers(db)
        self.images = Images(db)
        self.content = ContentStore(config.root / "content", ContentRows(db, self.leases))
        self.snapshotters: dict[str, Snapshotter] = {}
        """Those that are served, the one in use first."""
        self.choice = Choice()
        self.scratch = config.state / "mounts"
        layered = {config.root / Overlay.name: Form.DEVICE, config.root / Aufs.name: Form.FILE}
        self.differ = Differ(self.content, layered, self.scratch, config.owners)
        self.collector = Collector(db, self.content, self.snapshotters, self.exchange)
        self.upkeep = Upkeep(db, self.content.blobs)
        self.tasks = Tasks(
            Settings(
                state=config.state, address=config.address, shim=Path(config.shim),
                debug=config.log_level == "debug",
            ),
            self.containers,
            self.mounts,
            self.exchange.publish,
        )

    def mounts(self, namespace: str, snapshotter: str, key: str) -> list[Mount]:
        return choose(self.snapshotters, snapshotter).mounts(namespace, key)

    def open(self) -> None:
        """Bring files and metadata together again after whatever ended the last life."""
        if self.db.fresh and self.content.root.exists():
            raise errdefs.DataLoss(
                f"{self.config.root} holds blobs or snapshots, but its metadata, meta.db, is gone;"
                " restore it, or move the directory away to begin anew"
            )
        self.content.open()
        unmount_leftovers(self.scratch)
        used = {name for (name,) in self.db.read("SELECT DISTINCT driver FROM snapshots")}
        config = self.config
        self.choice = choose_drivers(config.root, self.scratch, config.snapshotter, config.snapshotter_opts, used)
        for driver in self.choice.drivers:
            snapshotter = Snapshotter(SnapshotRows(self.db, self.leases, driver.name), driver)
            snapshotter.open()
            self.snapshotters[driver.name] = snapshotter

    def rows(self) -> list[Plugin]:
        """What introspection shows."""
        drivers = self.choice.drivers
        found = [snapshotter_plugin(driver, chosen=driver is drivers[0]) for driver in drivers]
        found += [refused_plugin(name, reason) for name, reason in self.choice.refused.items()]
        return plugins(str(self.content.root), found)


@asynccontextmanager
async def serve(config: Config) -> AsyncIterator[Core]:
    """Serve calls inside the block. Phases in order; leaving undoes them in reverse."""
    async with AsyncExitStack() as stack:
        # 1. Directories of our own, and nobody else in them.
        for directory in (config.root, config.state):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if config.owners:
            config.state.chmod(0o711)  # a container's root passes through to its bundle
        stack.callback(os.close, lock.lock_root(config.root))
        lock.claim_address(config.address)
        # 2. Metadata, then the files it speaks of.
        db = Database(config.root / "meta.db")
        stack.callback(db.close)
        core = Core(config, db)
        core.open()
        for snapshotter in core.snapshotters.values():
            stack.push_async_callback(snapshotter.shut)
        # 3. Tasks: the zygote, and the shims that outlived us.
        stack.push_async_callback(core.tasks.stop)
        await core.tasks.start()
        # 4. What goes on beside calls.
        stack.push_async_callback(core.differ.close)
        stack.push_async_callback(core.upkeep.stop)
        core.upkeep.start()
        stack.push_async_callback(core.collector.stop)
        core.collector.start()
        # 5. The socket.
        server = await _server(core)
        await server.start()
        Path(config.address).chmod(0o600)
        stack.push_async_callback(server.stop, GRACE)
        gc.freeze()
        log.info("serving address=%s root=%s pid=%d", config.address, config.root, os.getpid())
        yield core


class _Services:
    """The server as generated code fills it, without its methods one by one.

    grpc.aio waits for each registered method on its own, and for all of them anew with every call.
    """

    def __init__(self, server: aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service_name: str, method_handlers: object) -> None:
        """The generic handlers are enough."""


async def _server(core: Core) -> aio.Server:
    server = aio.server(interceptors=[Boundary()], options=OPTIONS)
    services = cast(aio.Server, _Services(server))
    exchange, collector = core.exchange, core.collector
    add_VersionServicer_to_server(VersionService(), services)
    add_IntrospectionServicer_to_server(IntrospectionService(_uuid(core.config.root), core.rows), services)
    add_NamespacesServicer_to_server(NamespacesService(core.namespaces, exchange), services)
    add_ContentServicer_to_server(ContentService(core.content, exchange, collector), services)
    add_ImagesServicer_to_server(ImagesService(core.images, exchange, collector, core.upkeep), services)
    add_SnapshotsServicer_to_server(SnapshotsService(core.snapshotters, exchange, collector), services)
    add_DiffServicer_to_server(DiffService(core.differ), services)
    add_ContainersServicer_to_server(ContainersService(core.containers, exchange, collector), services)
    add_TasksServicer_to_server(TasksService(core.tasks), services)
    add_LeasesServicer_to_server(LeasesService(core.leases, collector), services)
    add_EventsServicer_to_server(EventsService(exchange), services)
    await inspection.enable(server)
    server.add_insecure_port(f"unix://{core.config.address}")
    return server


def _uuid(root: Path) -> str:
    """The identity of this root, made once."""
    place = root / "uuid"
    try:
        return place.read_text().strip()
    except FileNotFoundError:
        text = Path("/proc/sys/kernel/random/uuid").read_text().strip()
        place.write_text(text + "\n")
        return text
