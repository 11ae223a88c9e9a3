"""A network's addresses in one family: its subnet, its gateway, what may be given to containers."""

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from protos.errdefs import Conflict
from services.dockerd.network.ipam import Address, Pool, Subnet


@dataclass(slots=True)
class Addressing:
    subnet: Subnet
    gateway: Address | None
    """None where neither the bridge nor anybody else has an address for containers to go out by."""
    ip_range: Subnet | None = None
    """Where addresses of containers come from, unless it is the whole subnet."""
    auxiliary: dict[str, str] = field(default_factory=dict)
    other_exit: Address | None = None
    """Where containers go out instead of by the gateway; not kept, since a flag or an auxiliary address says it."""
    pool: Pool | None = None
    """Addresses in use; not kept, but rebuilt from endpoints."""

    @property
    def version(self) -> int:
        return self.subnet.version

    @property
    def exit(self) -> Address | None:
        """The default route of its containers."""
        return self.other_exit or self.gateway

    def choose_exit(self) -> None:
        """An auxiliary address of that name is the way out, instead of the bridge."""
        if text := self.auxiliary.get(f"DefaultGatewayIPv{self.version}"):
            self.other_exit = ip_address(text)

    def open_pool(self, owner: str) -> Pool:
        """Begin to count addresses: the gateway's and the auxiliary ones are taken."""
        self.pool = Pool(self.subnet, self.ip_range, owner)
        try:
            if self.gateway:
                self.pool.reserve(self.gateway)
        except Conflict as error:
            raise Conflict(f"failed to allocate gateway ({self.gateway}): {error}") from error
        for name, address in self.auxiliary.items():
            try:
                self.pool.reserve(ip_address(address))
            except Conflict as error:
                what = f"secondary ip address ({name}:{address})"
                raise Conflict(f"failed to allocate {what}: {error}") from error
        if self.other_exit and self.other_exit not in self.pool:
            self.pool.reserve(self.other_exit)
        return self.pool

    def to_json(self) -> dict[str, Any]:
        return {
            "subnet": str(self.subnet),
            "gateway": str(self.gateway or ""),
            "ip_range": str(self.ip_range or ""),
            "auxiliary": self.auxiliary,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Addressing":
        ip_range = document["ip_range"]
        made = cls(
            ip_network(document["subnet"]),
            ip_address(document["gateway"]) if document["gateway"] else None,
            ip_network(ip_range) if ip_range else None,
            document["auxiliary"],
        )
        made.choose_exit()
        return made
