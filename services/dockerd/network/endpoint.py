"""One end of a container on one network: its address, its link, what it publishes there."""

import hashlib
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from protos.binding import Binding
from services.dockerd.schema.container import EndpointSettings


@dataclass(slots=True)
class Endpoint:
    id: str
    network_id: str
    asked: EndpointSettings
    address: IPv4Address | None = None
    prefix: int = 0
    gateway: IPv4Address | None = None
    mac: str = ""
    link: str = ""
    """The host's end of the veth pair."""
    interface: str = ""
    """The container's end."""
    names: list[str] = field(default_factory=list)
    """What other containers of the network may call it."""
    bindings: list[Binding] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "network_id": self.network_id,
            "asked": self.asked.model_dump(exclude_defaults=True),
            "address": str(self.address or ""),
            "prefix": self.prefix,
            "gateway": str(self.gateway or ""),
            "mac": self.mac,
            "link": self.link,
            "interface": self.interface,
            "names": self.names,
            "bindings": self.bindings,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Endpoint":
        address, gateway = document["address"], document["gateway"]
        return cls(
            **{
                **document,
                "asked": EndpointSettings.model_validate(document["asked"]),
                "address": IPv4Address(address) if address else None,
                "gateway": IPv4Address(gateway) if gateway else None,
                "bindings": [Binding(*each) for each in document["bindings"]],
            }
        )


def link_name(container_id: str, network_id: str) -> str:
    """Name of the host's end, always the same for a container on a network, so that leftovers are recognised."""
    return "veth" + hashlib.sha256(f"{container_id} {network_id}".encode()).hexdigest()[:7]
