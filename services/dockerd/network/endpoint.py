"""One end of a container on one network: its address, its link, what it publishes there."""

import hashlib
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

from protos.binding import Binding
from services.dockerd.network.firewall.rules import Link
from services.dockerd.network.ipam import Address
from services.dockerd.schema.container import EndpointSettings


class Place(NamedTuple):
    """An endpoint's address in one family."""

    address: Address
    prefix: int
    gateway: Address | None


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
    links: list[Link] = field(default_factory=list)
    """What rules let it reach though the network keeps containers apart."""
    address6: IPv6Address | None = None
    prefix6: int = 0
    gateway6: IPv6Address | None = None

    @property
    def places(self) -> list[Place]:
        """Its addresses, IPv4 first."""
        found = [(self.address, self.prefix, self.gateway), (self.address6, self.prefix6, self.gateway6)]
        return [Place(address, prefix, gateway) for address, prefix, gateway in found if address]

    def place(self, address: Address, prefix: int, gateway: Address | None) -> None:
        """Give it an address."""
        if isinstance(address, IPv4Address):
            assert gateway is None or isinstance(gateway, IPv4Address)
            self.address, self.prefix, self.gateway = address, prefix, gateway
        else:
            assert gateway is None or isinstance(gateway, IPv6Address)
            self.address6, self.prefix6, self.gateway6 = address, prefix, gateway

    def displace(self, address: Address) -> None:
        """It has this address no more."""
        if isinstance(address, IPv4Address):
            self.address = None
        else:
            self.address6 = None

    def address_of(self, version: int) -> Address | None:
        return self.address if version == 4 else self.address6

    @property
    def addresses(self) -> list[str]:
        return [str(each.address) for each in self.places]

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
            "links": self.links,
            "address6": str(self.address6 or ""),
            "prefix6": self.prefix6,
            "gateway6": str(self.gateway6 or ""),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Endpoint":
        address, gateway = document["address"], document["gateway"]
        address6, gateway6 = document.get("address6"), document.get("gateway6")
        return cls(
            **{
                **document,
                "asked": EndpointSettings.model_validate(document["asked"]),
                "address": IPv4Address(address) if address else None,
                "gateway": IPv4Address(gateway) if gateway else None,
                "bindings": [Binding(*each) for each in document["bindings"]],
                "links": [Link(*each) for each in document.get("links", ())],
                "address6": IPv6Address(address6) if address6 else None,
                "gateway6": IPv6Address(gateway6) if gateway6 else None,
            }
        )


def link_name(container_id: str, network_id: str) -> str:
    """Name of the host's end, always the same for a container on a network, so that leftovers are recognised."""
    return "veth" + hashlib.sha256(f"{container_id} {network_id}".encode()).hexdigest()[:7]
