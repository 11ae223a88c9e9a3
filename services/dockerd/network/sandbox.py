"""A container's network: its namespace, its files, its endpoints; kept in one JSON file under the exec root."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Sandbox:
    """What `Controller.allocate` gives; the paths go into the OCI spec."""

    container_id: str
    netns_path: str
    """Pinned network namespace for the spec's `namespaces`; "" for the host's own (no entry at all)."""
    hostname_path: Path
    hosts_path: Path
    resolv_conf_path: Path
