"""Where a registry answers: mirrors first, then itself; over TLS, an insecure one without too. Pure but for names."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from protos.proxies import split
from services.dockerd.images.reference import DEFAULT_DOMAIN

HUB: Final = "registry-1.docker.io"
INDEX: Final = "https://index.docker.io/v1/"
"""What clients call Docker Hub when they log in."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a registry."""

    scheme: str
    host: str
    """Host and port as in a URL."""
    verify: bool = True
    """Whether its certificate must be good."""
    mirror: bool = False
    path: str = ""
    """In front of `api`, without a slash at its end."""
    api: str = "/v2/"
    authorities: tuple[str, ...] = ()
    """Files of certificates that it may be signed by, beside the machine's own."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Files of certificate and key to show."""
    headers: tuple[tuple[str, str], ...] = ()
    """To send with every request."""

    @property
    def base(self) -> str:
        return f"{self.scheme}://{self.host}{self.path}{self.api}"


def endpoints(domain: str, mirrors: Iterable[str], insecure: bool, *, push: bool = False) -> list[Endpoint]:
    """The addresses of a domain in the order to try. Mirrors serve Docker Hub's names, and no push."""
    if domain == DEFAULT_DOMAIN:
        chosen = () if push else tuple(mirrors)
        return [*(_mirror(url) for url in chosen), Endpoint("https", HUB)]
    if insecure:
        return [Endpoint("https", domain, verify=False), Endpoint("http", domain)]
    return [Endpoint("https", domain)]


def _mirror(url: str) -> Endpoint:
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.rstrip("/").partition("/")
    return Endpoint(scheme, host, mirror=True, path=slash + path)


async def insecure(domain: str, configured: Sequence[str]) -> bool:
    """Whether a registry may be asked without TLS: named as it is, on loopback, or in a listed network."""
    if domain == DEFAULT_DOMAIN:
        return False
    if domain in configured:
        return True
    networks = [network for each in (*configured, "127.0.0.0/8", "::1/128") if (network := _network(each))]
    return any(address in network for address in await addresses(split(domain)[0]) for network in networks)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


async def addresses(name: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """What a name stands for; nothing where it stands for none."""
    try:
        return [ipaddress.ip_address(name)]
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return []  # the connection will say so
    return [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]
