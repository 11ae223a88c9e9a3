"""Which proxy a request goes through. The processes know of proxies by their environment: dockerd writes what it was
told into its own (services/dockerd/proxies.py), and the others inherit it.

The rules are Docker's: loopback never, and what `no-proxy` names by name, suffix, address or network.
"""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass


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


def told(environment: Mapping[str, str] = os.environ) -> Proxies:
    """By the variables, in capitals or not."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return Proxies(*(environment.get(name) or environment.get(name.lower()) or "" for name in names))


def split(host: str) -> tuple[str, str]:
    """Name and port of `host:port`, `[v6]:port` or either alone; the name without brackets."""
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        return name, rest.removeprefix(":")
    name, _, port = host.partition(":")
    return name, port


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
