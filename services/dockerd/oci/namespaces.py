"""`linux.namespaces`: own ones, the host's (no entry), or another container's (an entry with a path)."""

from typing import Any

from services.dockerd.oci.facts import facts
from services.dockerd.schema.container import HostConfig

Entry = dict[str, Any]


def build(
    host: HostConfig, *, netns_path: str | None, ipc_path: str, pid_path: str, userns_path: str | None = None
) -> list[Entry]:
    """There is never a time namespace; `userns_path` is None for the host's user namespace, "" for a new one."""
    entries: list[Entry] = [{"type": "mount"}]
    if userns_path is not None:
        entries.append(_entry("user", userns_path))
    if netns_path is not None:
        entries.append(_entry("network", netns_path))
    if host.UTSMode != "host":
        entries.append({"type": "uts"})
    if host.PidMode != "host":
        entries.append(_entry("pid", pid_path))
    if host.IpcMode != "host":
        entries.append(_entry("ipc", ipc_path))
    if host.CgroupnsMode == "private" and facts().cgroup_namespaces:
        entries.append({"type": "cgroup"})
    return entries


def _entry(kind: str, path: str) -> Entry:
    return {"type": kind, "path": path} if path else {"type": kind}
