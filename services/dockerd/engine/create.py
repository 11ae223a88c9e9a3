"""`create`: a container with its configuration checked and completed, its name, its file system and its volumes.

It is on disk, synced, and its file system is there before the answer goes out; docker-containerd's record of it, with
the spec, is made behind the answer, or by the first start, which knows all.
"""

import asyncio
import contextlib
import logging
import os
import re
import secrets
import socket
import time
from typing import Final

from protos import errdefs
from protos.log import container_var
from services.dockerd import rootfs, skeleton, storage
from services.dockerd.container import merge, names, validate
from services.dockerd.container.container import Container
from services.dockerd.engine import document, layerdb, links, notify, runtimes, tasks, views, wiring
from services.dockerd.engine.engine import Engine
from services.dockerd.images import unpack
from services.dockerd.images.image import Image
from services.dockerd.images.platform import Platform
from services.dockerd.logger import options
from services.dockerd.metrics import meter
from services.dockerd.network import reserve
from services.dockerd.network.drivers import interface
from services.dockerd.oci import limits, verify
from services.dockerd.schema.container import ContainerConfig, CreateRequest, EndpointSettings, HostConfig
from services.dockerd.volumes import mounts

log = logging.getLogger("create")

_OWN: Final = frozenset(ContainerConfig.model_fields)


@meter.timed("container_actions", "create")
async def create(
    engine: Engine, given: CreateRequest, name: str = "", wanted_platform: Platform | None = None
) -> tuple[Container, list[str]]:
    """Make a container, its name generated where none is given; with warnings of what the kernel cannot do."""
    if not given.model_fields_set & _OWN:
        raise errdefs.InvalidArgument("config cannot be empty in order to create a container")
    asked = ContainerConfig.model_validate(given.model_dump(include=set(_OWN)))
    host = given.HostConfig or HostConfig()
    image = await unpack.ready(engine.images, asked.Image, wanted_platform)
    wanted = validate.name(name) if name else ""
    config = _completed(engine, asked, host, image)
    defaults = engine.defaults
    warnings = verify.verify(
        config, host, systemd_cgroup=defaults.systemd_cgroup, remaps=bool(defaults.owners),
        described=bool(engine.config.cdi))
    warnings += wiring.warnings(host)
    links.check(engine, host)
    networks = (given.NetworkingConfig.EndpointsConfig if given.NetworkingConfig else None) or {}
    container = _container(engine, config, host, image, networks)
    wiring.check(engine, host, container.endpoints)
    runtimes.settle(engine, container)
    container.name = wanted or names.generate(engine.containers.taken)
    engine.containers.reserve(container.name, container.id)
    container_var.set(container.short)
    log.debug("creating name=%s image=%s", container.name, config.Image)
    try:
        await _make(engine, container, image)
    except BaseException:
        engine.containers.release(container.name, container.id)
        raise
    engine.containers.add(container)
    notify.container(engine, container, "create")
    container.prepared = engine.spawn(_anticipate(engine, container), f"prepare {container.short}")
    return container, warnings


async def _anticipate(engine: Engine, container: Container) -> None:
    """Make docker-containerd's record as the first start will want it; should it want another, it says so itself."""
    foreseen = mounts.foreseen(engine.volumes, container.mounts)
    if not foreseen or container.host.NetworkMode.startswith("container:"):
        return  # known only when it starts
    with contextlib.suppress(errdefs.EngineError, OSError):
        sandbox = engine.network.plan(wiring.request(engine, container))
        spec = await document.build(engine, container, sandbox, container.mounts)
        runtime = runtimes.of(engine, container)
        await tasks.record(engine, container, spec, runtime.name, runtime.options)


def _completed(engine: Engine, asked: ContainerConfig, host: HostConfig, image: Image) -> ContainerConfig:
    """Both configurations checked; the daemon's and the image's defaults filled in."""
    validate.network(asked, host)
    config = merge.merge(asked, image.config)
    validate.config(config)
    path, _ = merge.command(config)
    if not path:
        raise errdefs.InvalidArgument("no command specified")
    validate.host(host)
    runtimes.check(engine, host.Runtime)
    _defaults(engine, config, host)
    options.check(host.LogConfig.Type, host.LogConfig.Config or {})
    mounts.check(config, host)
    return config


def _defaults(engine: Engine, config: ContainerConfig, host: HostConfig) -> None:
    settings = engine.config
    if host.NetworkMode in ("", "default"):
        host.NetworkMode = "none" if settings.bridge == "none" else "bridge"
    if config.NetworkDisabled:
        host.NetworkMode = "none"
    host.LogConfig.Type = host.LogConfig.Type or settings.log_driver
    host.LogConfig.Config = options.merge(
        host.LogConfig.Type, host.LogConfig.Config or {}, settings.log_driver, settings.log_opts)
    host.Runtime = host.Runtime or settings.default_runtime
    host.RestartPolicy.Name = host.RestartPolicy.Name or "no"
    limits.adapt(
        host, shm_size=settings.default_shm_size, cgroupns_mode=settings.default_cgroupns_mode,
        ipc_mode=settings.default_ipc_mode)
    if config.Labels is None:
        config.Labels = {}


def _container(
    engine: Engine, config: ContainerConfig, host: HostConfig, image: Image,
    networks: dict[str, EndpointSettings | None],
) -> Container:
    identity = _new_id()
    if not config.Hostname and not host.NetworkMode.startswith("container:"):
        config.Hostname = socket.gethostname() if host.NetworkMode == "host" else identity[:12]
    path, args = merge.command(config)
    return Container(
        id=identity, name="", created=time.time_ns(), path=path, args=args, config=config, host=host, image=image.id,
        driver=engine.images.snapshotter, directory=engine.store.directory(identity),
        endpoints=_endpoints(host, networks), pristine=True)


def _endpoints(host: HostConfig, networks: dict[str, EndpointSettings | None]) -> dict[str, EndpointSettings]:
    """By network, that of NetworkMode included; `default` is the name that old clients have for it."""
    given = {host.NetworkMode if name == "default" else name: settings or EndpointSettings()
             for name, settings in networks.items()}
    for settings in given.values():
        interface.check(settings.DriverOpts)
        reserve.check(settings)
    if host.NetworkMode.startswith("container:"):
        return given
    found = {host.NetworkMode: EndpointSettings(), **given}
    own = found[host.NetworkMode]
    host.Sysctls, own.DriverOpts = interface.claim(host.Sysctls, own.DriverOpts)
    return found


def _new_id() -> str:
    """64 hex digits, of which the first twelve are not a decimal number (they would be, as a hostname)."""
    while True:
        identity = secrets.token_hex(32)
        if not re.fullmatch(r"\d+", identity[:12]):
            return identity


async def _make(engine: Engine, container: Container, image: Image) -> None:
    async with contextlib.AsyncExitStack() as undo:
        container.mounts = await mounts.resolve(
            engine.volumes, container.id, container.config, container.host,
            lambda reference: engine.containers.get(reference).mounts)
        undo.push_async_callback(_release, engine, container)
        undo.push_async_callback(tasks.forget, engine, container)
        undo.callback(_discard, engine, container)
        if container.mounts:
            await views.make(engine, container)
        saved = asyncio.ensure_future(asyncio.to_thread(engine.store.create, container))
        try:
            size = storage.size(container.driver, container.host.StorageOpt or {})
            container.rootfs = await skeleton.prepare(
                engine.client, container.driver, image.chain_id, container.id, size, engine.owner)
        finally:
            await asyncio.wait([saved])
        saved.result()
        layerdb.write(engine.config.data_root, container.driver, container.id, container.rootfs)
        if any(point.copy for point in container.mounts):
            await populate(engine, container)
        undo.pop_all()


def _discard(engine: Engine, container: Container) -> None:
    layerdb.remove(engine.config.data_root, container.driver, container.id)
    engine.store.discard(container)
    engine.store.purge(container.id)


async def _release(engine: Engine, container: Container) -> None:
    await mounts.discard(
        engine.volumes, mounts.release(engine.volumes, container.id, container.mounts, anonymous=True))


async def populate(engine: Engine, container: Container) -> None:
    """Fill new volumes from the image (copy-up)."""
    root = await asyncio.to_thread(rootfs.detached, container.rootfs)
    try:
        await mounts.populate(engine.volumes, container.id, container.mounts, root)
    finally:
        os.close(root)
