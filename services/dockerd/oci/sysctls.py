"""Kernel parameters of a container: Docker's defaults, `--sysctl`, and which of them need a namespace of its own."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from protos import errdefs
from services.dockerd.schema.container import HostConfig

_IPC: Final = frozenset({
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
    "kernel.shmmni", "kernel.shm_rmid_forced",
})
_PING: Final = "net.ipv4.ping_group_range"
_DEFAULTS: Final = {
    _PING: "0 2147483647",  # ping without CAP_NET_RAW
    "net.ipv4.ip_unprivileged_port_start": "0",  # any port without CAP_NET_BIND_SERVICE
}


def build(host: HostConfig, domainname: str, *, remapped: bool = False) -> dict[str, str]:
    """`linux.sysctl`; InvalidArgument for a parameter that would change the host. `remapped`: in a user namespace."""
    chosen: dict[str, str] = {}
    if domainname and host.UTSMode != "host":
        chosen["kernel.domainname"] = domainname
    if host.NetworkMode != "host" and not host.NetworkMode.startswith("container:"):
        chosen |= _known_defaults()
        if remapped:
            chosen.pop(_PING, None)  # its groups would have to be of the host
    for name, value in (host.Sysctls or {}).items():
        dotted = name.replace("/", ".") if "/" in name.partition(".")[0] else name
        _check(dotted, host)
        chosen[dotted] = value
    return chosen


@functools.cache
def _known_defaults() -> Mapping[str, str]:
    return {name: value for name, value in _DEFAULTS.items() if Path("/proc/sys", *name.split(".")).exists()}


def _check(name: str, host: HostConfig) -> None:
    if name in _IPC or name.startswith("fs.mqueue."):
        space, shared = "ipc", host.IpcMode == "host"
    elif name.startswith("net."):
        space, shared = "network", host.NetworkMode == "host"
    elif name in ("kernel.domainname", "kernel.hostname"):
        space, shared = "uts", host.UTSMode == "host"
    else:
        raise errdefs.InvalidArgument(f'sysctl "{name}" is not in a separate kernel namespace')
    if shared:
        raise errdefs.InvalidArgument(f'sysctl "{name}" not allowed in host {space} namespace')
