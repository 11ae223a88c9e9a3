"""Which proxy a request goes through. Pure; what the daemon was told of them is in dockerd's proxies.py.

The rules are Docker's: loopback never, and what `no-proxy` names by name, suffix, address or network.
"""

import ipaddress
from dataclasses import dataclass

from services.dockerd.registry.hosts import split


@dataclass(frozen=True, slots=True)
class Proxies:
    http: str = ""
    https: str = ""
    exempt: str = ""

    def of(self, scheme: str, host: str) -> str:
        """The proxy's URL for a request to `host` (with or without port); empty for none."""
        chosen = self.https if scheme == "https" else self.http
        if not chosen or self._exempt(*split(host), scheme):
            return ""
        return chosen if "://" in chosen else f"http://{chosen}"

    def _exempt(self, name: str, port: str, scheme: str) -> bool:
        address = _address(name)
        if name == "localhost" or (address and address.is_loopback):
            return True
        port = port or ("443" if scheme == "https" else "80")
        return any(_matches(each.strip().lower(), name.lower(), port, address) for each in self.exempt.split(","))


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _matches(rule: str, name: str, port: str, address: Address | None) -> bool:
    if rule == "*":
        return True
    if not rule:
        return False
    if "/" in rule:
        try:
            return address is not None and address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    if (own := _address(rule)) is not None:
        return own == address
    wanted, wanted_port = split(rule)
    if wanted_port and wanted_port != port:
        return False
    if wanted.startswith(("*.", ".")):
        return name.endswith(wanted.removeprefix("*"))
    return name == wanted or name.endswith("." + wanted)


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
