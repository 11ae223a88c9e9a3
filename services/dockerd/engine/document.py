"""A container's OCI spec, made from its configuration and from what its start has allocated."""

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import replace

import orjson

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.dockerd import rootfs
from services.dockerd.container.container import Container
from services.dockerd.engine import links, runtimes, shm, tasks
from services.dockerd.engine.engine import Engine
from services.dockerd.network.sandbox import Sandbox
from services.dockerd.oci import apparmor, cdi, devices, features, nvidia, spec
from services.dockerd.oci import user as users
from services.dockerd.oci.user import User
from services.dockerd.schema.container import HostConfig
from services.dockerd.volumes.mountpoint import MountPoint


async def build(
    engine: Engine, container: Container, sandbox: Sandbox, points: Sequence[MountPoint]
) -> bytes:
    """The spec as JSON."""
    given = describe(engine, container, sandbox, points, await identity(engine, container))
    if any(not point.rw and point.type != "tmpfs" for point in points):
        given = await _deeply_readonly(engine, container, given)
    document = spec.build(given)
    if container.host.DeviceRequests:
        document = await asyncio.to_thread(_with_devices, engine, container.host, document)
    await apparmor.ensure(document["process"].get("apparmorProfile", ""))
    return orjson.dumps(document)


def _with_devices(engine: Engine, host: HostConfig, document: spec.Document) -> spec.Document:
    if names := devices.requested(host):
        document = cdi.inject(document, names, engine.config.cdi)
    return nvidia.inject(document, host)


async def _deeply_readonly(engine: Engine, container: Container, given: spec.SpecInput) -> spec.SpecInput:
    """A read-only bind is read-only with what is mounted beneath it, where the runtime can do that."""
    problem = await features.readonly_problem(runtimes.chosen(engine, container).program, container.host.Runtime)
    return replace(given, defaults=replace(given.defaults, readonly_problem=problem))


def describe(
    engine: Engine, container: Container, sandbox: Sandbox, points: Sequence[MountPoint], user: User
) -> spec.SpecInput:
    host = container.host
    return spec.SpecInput(
        id=container.id,
        config=container.config,
        host=host,
        args=[container.path, *container.args],
        user=user,
        mounts=points,
        files={
            "/etc/resolv.conf": str(sandbox.resolv_conf_path),
            "/etc/hostname": str(sandbox.hostname_path),
            "/etc/hosts": str(sandbox.hosts_path),
        },
        hostname=hostname(engine, container),
        domainname=container.config.Domainname,
        netns_path="" if sandbox.late else sandbox.netns_path or None,
        ipc_path=_joined(engine, host.IpcMode, "ipc"),
        pid_path=_joined(engine, host.PidMode, "pid"),
        userns_path=_shared_user(engine, host),
        shm_path=_shm(engine, container),
        env=links.environment(engine, container),
        defaults=engine.defaults,
    )


def hostname(engine: Engine, container: Container) -> str:
    """Its own; that of the container whose network it shares; the host's on the host's network."""
    kind, _, other = container.host.NetworkMode.partition(":")
    if kind == "container":
        return hostname(engine, engine.containers.get(other))
    if container.config.Hostname or container.host.NetworkMode != "host":
        return container.config.Hostname
    return socket.gethostname()


def _joined(engine: Engine, mode: str, namespace: str) -> str:
    """Namespace file of the container that `--ipc` or `--pid` `container:x` names."""
    kind, _, reference = mode.partition(":")
    if kind != "container":
        return ""
    other = engine.containers.get(reference)
    if not other.state.running:
        raise errdefs.Conflict(
            f"cannot join {namespace.upper()} namespace of a non running container: {other.id}")
    if namespace == "ipc" and other.host.IpcMode not in ("shareable", "host"):
        hint = "(hint: use IpcMode:shareable for the donor container)"
        raise errdefs.Conflict(f"can't join IPC of container {other.id}: non-shareable IPC {hint}")
    return f"/proc/{other.state.pid}/ns/{namespace}"


def _shared_user(engine: Engine, host: HostConfig) -> str:
    """User namespace that owns another namespace which is joined; "" where none is."""
    for mode in (host.NetworkMode, host.PidMode, host.IpcMode) if engine.config.owners else ():
        if mode.startswith("container:"):
            return _joined(engine, mode, "user")
    return ""


def _shm(engine: Engine, container: Container) -> str:
    mode, _, reference = container.host.IpcMode.partition(":")
    if mode == "host":
        return "/dev/shm"
    if mode == "shareable":
        return shm.directory(container)
    return shm.directory(engine.containers.get(reference)) if mode == "container" else ""


async def identity(engine: Engine, container: Container, user: str | None = None) -> User:
    """Who the container's process runs as, by its own passwd and group files; `user` is an exec's."""
    wanted = container.config.User if user is None else user
    groups = tuple(container.host.GroupAdd or ())
    key = (container.image, wanted, groups)
    if container.pristine and key in engine.users:
        return engine.users[key]
    if container.state.running:
        found = await asyncio.to_thread(_look, container.state.pid, [], wanted, groups)
    else:
        if not container.rootfs:
            container.rootfs = await tasks.mounts(engine, container)
        found = await asyncio.to_thread(_look, 0, container.rootfs, wanted, groups)
    if container.pristine:
        engine.users[key] = found
    return found


def _look(pid: int, mounts: Sequence[Mount], user: str, groups: Sequence[str]) -> User:
    root = rootfs.running(pid) if pid else rootfs.detached(mounts)
    try:
        return users.resolve(root, user, groups)
    finally:
        os.close(root)
