"""The OCI runtime document of a container and the process document of an exec, as tight as Docker's.

Pure but for the kernel's facts (oci/facts.py), which are read once, and device nodes that are named. What needs the
image's files (the user) or the host's (volumes) is resolved by the caller and comes in through SpecInput.
"""

import posixpath
from collections.abc import Sequence
from typing import Any, Final

from protos import errdefs
from protos.idmap import Mapping
from services.dockerd import programs
from services.dockerd.oci import (
    capabilities,
    devices,
    mounts,
    namespaces,
    resources,
    seccomp,
    security,
    sysctls,
)
from services.dockerd.oci import process as processes
from services.dockerd.oci.defaults import INIT, MASKED_PATHS, READONLY_PATHS
from services.dockerd.oci.inputs import Defaults, ExecInput, SpecInput
from services.dockerd.schema.container import HostConfig

__all__ = ["Defaults", "ExecInput", "SpecInput", "build", "cgroup_path", "process"]

Document = dict[str, Any]

_VERSION: Final = "1.0.2"


def build(given: SpecInput) -> Document:
    """The `config.json` of the container. Parts are shared between documents: encode it, do not change it."""
    host = given.host
    init = _init_program(given)
    document: Document = {
        "ociVersion": _VERSION,
        "process": processes.main(given, [INIT, "--", *given.args] if init else given.args),
        "root": {"path": "rootfs", "readonly": host.ReadonlyRootfs},
        "mounts": mounts.build(
            host, given.mounts, given.files, shm_path=given.shm_path, init_path=init,
            readonly_problem=given.defaults.readonly_problem,
        ),
        "linux": _linux(given),
    }
    if host.UTSMode != "host" and given.hostname:
        document["hostname"] = given.hostname
    if host.Annotations:
        document["annotations"] = dict(host.Annotations)
    return document


def process(container: SpecInput, given: ExecInput) -> Document:
    """The document of an exec inside a container built from `container` (its args and mounts do not matter)."""
    return processes.added(container, given)


def cgroup_path(container_id: str, host: HostConfig, defaults: Defaults) -> str:
    """`linux.cgroupsPath`: a path, or `slice:docker:id` under systemd."""
    parent = host.CgroupParent or defaults.cgroup_parent
    if defaults.systemd_cgroup:
        return f"{parent or 'system.slice'}:docker:{container_id}"
    return posixpath.normpath(f"/{parent or 'docker'}/{container_id}").replace("//", "/")


def _linux(given: SpecInput) -> Document:
    host = given.host
    chosen = security.parse(host.SecurityOpt)
    nodes, rules = devices.build(host)
    owners = given.owners
    document: Document = {
        "resources": {"devices": rules, **resources.build(host)},
        "cgroupsPath": cgroup_path(given.id, host, given.defaults),
        "namespaces": namespaces.build(
            host, netns_path=given.netns_path, ipc_path=given.ipc_path, pid_path=given.pid_path,
            userns_path=given.userns_path if owners else None,
        ),
        "devices": nodes,
        **_paths(host, chosen),
    }
    if owners:
        document |= {"uidMappings": _ranges(owners.uids), "gidMappings": _ranges(owners.gids)}
    parameters = sysctls.build(host, given.domainname, remapped=bool(owners))
    if parameters:
        document["sysctl"] = parameters
    held = capabilities.choose(host.CapAdd, host.CapDrop, privileged=host.Privileged)
    filters = seccomp.choose(chosen.seccomp, given.defaults.seccomp_profile, held, privileged=host.Privileged)
    if filters:
        document["seccomp"] = filters
    propagation = mounts.rootfs_propagation(given.mounts)
    if propagation:
        document["rootfsPropagation"] = propagation
    return document


def _ranges(mapping: Mapping) -> list[Document]:
    return [{"containerID": each.container, "hostID": each.host, "size": each.count} for each in mapping.ranges]


def _paths(host: HostConfig, chosen: security.Security) -> Document:
    """Hidden and read-only paths: what inspect shows if given, else Docker's; none for a privileged container."""
    if chosen.systempaths_unconfined:
        return {}
    masked: Sequence[str] = () if host.Privileged else MASKED_PATHS
    frozen: Sequence[str] = () if host.Privileged else READONLY_PATHS
    if host.MaskedPaths is not None:
        masked = host.MaskedPaths
    if host.ReadonlyPaths is not None:
        frozen = host.ReadonlyPaths
    return {key: list(paths) for key, paths in (("maskedPaths", masked), ("readonlyPaths", frozen)) if paths}


def _init_program(given: SpecInput) -> str:
    """Host path of the program `--init` runs first; "" without it, or where the PIDs are somebody else's."""
    wanted = given.host.Init if given.host.Init is not None else given.defaults.init
    if not wanted or given.host.PidMode:
        return ""
    found = programs.init(given.defaults.init_path)
    if not found:
        raise errdefs.FailedPrecondition("docker-init is not in PATH: apt-get install tini, or set --init-path")
    return found
