"""A container's network: its namespace, its files, its endpoints; kept in one JSON file under the exec root.

The file is written before anything of it is made and again when it is complete. It says what to look for after a
crash; what is there is up to the kernel.
"""

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.dockerd.network.endpoint import Endpoint

log = logging.getLogger("network")


@dataclass(slots=True)
class Sandbox:
    """What `Controller.allocate` gives; the paths go into the OCI spec."""

    container_id: str
    netns_path: str
    """Pinned network namespace for the spec's `namespaces`; "" for the host's own (no entry at all)."""
    hostname_path: Path
    hosts_path: Path
    resolv_conf_path: Path
    mode: str = "bridge"
    """`bridge` (any endpoints), `host`, `none` or `container`."""
    name: str = ""
    """The container's, for messages and events."""
    id: str = ""
    endpoints: list[Endpoint] = field(default_factory=list)
    connected: bool = False
    late: bool = False
    """The runtime makes the namespace, for it belongs to the container's user namespace; `Controller.fill` pins it."""

    @property
    def key(self) -> str:
        """SandboxKey of inspect."""
        return self.netns_path or "/var/run/docker/netns/default"

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "container_id": self.container_id,
            "name": self.name,
            "mode": self.mode,
            "netns_path": self.netns_path,
            "hostname_path": str(self.hostname_path),
            "hosts_path": str(self.hosts_path),
            "resolv_conf_path": str(self.resolv_conf_path),
            "endpoints": [each.to_json() for each in self.endpoints],
            "connected": self.connected,
            "late": self.late,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Sandbox":
        paths = {name: Path(document[name]) for name in ("hostname_path", "hosts_path", "resolv_conf_path")}
        endpoints = [Endpoint.from_json(each) for each in document["endpoints"]]
        return cls(**{**document, **paths, "endpoints": endpoints})


class Records:
    """The files of sandboxes. No sync: they mean nothing after a reboot."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, sandbox: Sandbox) -> None:
        path = self._path(sandbox.container_id)
        draft = path.with_suffix(".new")
        try:
            draft.write_text(json.dumps(sandbox.to_json()))
        except FileNotFoundError:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.write_text(json.dumps(sandbox.to_json()))
        os.rename(draft, path)  # noqa: PTH104 - a third of the time

    def delete(self, container_id: str) -> None:
        self._path(container_id).unlink(missing_ok=True)

    def load(self) -> Iterator[Sandbox]:
        """All that can be read; what cannot is of no use and goes."""
        for path in sorted(self._directory.glob("*.json")):
            try:
                yield Sandbox.from_json(json.loads(path.read_text()))
            except (ValueError, KeyError, TypeError) as error:
                log.warning("unreadable sandbox dropped path=%s error=%s", path, error)
                path.unlink()

    def _path(self, container_id: str) -> Path:
        return self._directory / f"{container_id}.json"
