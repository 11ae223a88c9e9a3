"""Makes the Engine out of its parts and ties their callbacks to it. Order of a start: `assemble`, `restore.load`,
`Controller.start(assemble.live(engine))`, `monitor.start`, `restore.restore`, listeners, `restore.resume`."""

from collections.abc import Iterator

from services.dockerd import cgroups
from services.dockerd.config import Config
from services.dockerd.container.store import Store
from services.dockerd.container.view import View
from services.dockerd.engine import list as listing
from services.dockerd.engine import wiring
from services.dockerd.engine.engine import Engine
from services.dockerd.events import Journal
from services.dockerd.images.store import Images, Use
from services.dockerd.network.controller import Controller, Request
from services.dockerd.oci import seccomp
from services.dockerd.oci.inputs import Defaults
from services.dockerd.plugins import discovery
from services.dockerd.plugins.registry import Plugins
from services.dockerd.remote.client import Client
from services.dockerd.schema.container import Ulimit
from services.dockerd.volumes.store import Volumes


def assemble(
    config: Config, client: Client, images: Images, network: Controller, volumes: Volumes, events: Journal
) -> Engine:
    """`events` is opened by the caller, who gives the Controller a `notify` that publishes to it."""
    store = Store(config.data_root / "containers")
    engine = Engine(config, client, images, network, volumes, events, store, View())
    engine.containers.encode = lambda container: listing.encode(engine, container)
    engine.defaults = _defaults(config)
    engine.plugins = Plugins(discovery.beneath(config.exec_root))
    volumes.remote.plugins = engine.plugins
    images.uses = lambda: _uses(engine)
    images.emit = lambda action, image_id, attributes: events.publish("image", action, image_id, attributes)
    return engine


def _defaults(config: Config) -> Defaults:
    limits = {name: Ulimit(Name=name, Soft=soft, Hard=hard) for name, (soft, hard) in config.default_ulimits.items()}
    return Defaults(
        init_path=config.init_path, init=config.init, cgroup_parent=config.cgroup_parent, ulimits=limits,
        seccomp_profile=seccomp.read(config.seccomp_profile), no_new_privileges=config.no_new_privileges,
        owners=config.owners, systemd_cgroup=cgroups.by_systemd(config))


def _uses(engine: Engine) -> Iterator[Use]:
    for container in engine.containers:
        yield Use(container.id, container.image, container.config.Image, container.state.active)
        for point in container.mounts:
            if point.type == "image":
                yield Use(container.id, point.source, point.name, container.state.active)


def live(engine: Engine) -> list[Request]:
    """The networks of containers that were running: `Controller.start` adopts these."""
    return [wiring.request(engine, each) for each in engine.containers if each.state.running]
