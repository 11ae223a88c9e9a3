"""Requests that a web page makes a browser send to a TCP listener: another page's are known by their Origin, those to
a rebound name by their Host. Unix sockets are out of a browser's reach; the docker CLI, curl and SDKs send no Origin.
"""

import ipaddress
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from services.dockerd.web.heads import Header

TRUSTED: Final = "DOCKERD_TRUSTED_HOSTS"
"""Environment: further names of this machine, and of web sites that may call it, by commas."""
_OURS: Final = ("localhost", "local", "internal", "home.arpa", "test")
"""Top-level names that no public name server answers for (RFC 6761, 6762, 8375): nobody afar can rebind them."""


class Guard:
    """`refusal` of one listener; `known` are the names under which clients may call it."""

    def __init__(self, known: Iterable[str], *, secure: bool) -> None:
        self._known = frozenset(name.lower().rstrip(".") for name in known)
        self._trusted = frozenset(trusted())
        self._secure = secure
        """A rebound name fails already against the certificate."""

    def refusal(self, headers: Iterable[Header]) -> str:
        """Why a request with these headers is not served, or ""."""
        found: dict[bytes, str] = {}
        for name, value in headers:
            if name == b"host" and name in found:
                return "the request has several Host headers"
            found[name] = value.decode("latin-1").strip()
        host = found.get(b"host", "")
        if (origin := found.get(b"origin")) is not None and self._foreign(origin, host):
            return f"requests from the web page {origin} are refused"
        if origin is None and found.get(b"sec-fetch-site", "none") not in ("none", "same-origin"):
            return "requests from another web page are refused"
        if not self._secure and not self.knows(host):
            return (
                f"this machine is not known as {host}: use its address, or name it by -H tcp://{host} or in "
                f"{TRUSTED} where dockerd is started"
            )
        return ""

    def _foreign(self, origin: str, host: str) -> bool:
        try:
            page = urlsplit(origin)
        except ValueError:
            return True
        return page.netloc.lower() != host.lower() and page.hostname not in self._trusted

    def knows(self, host: str) -> bool:
        """Whether `host`, with or without a port, cannot be a name that somebody else has pointed here."""
        name = _name(host)
        if not name or "." not in name or name in self._known:
            return True  # a name without dots is nobody's in the public system
        return _is_address(name) or any(name.endswith(f".{top}") for top in _OURS)


def _name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0].lower().rstrip(".") if host.count(":") == 1 else host.lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def trusted() -> list[str]:
    return [name.strip().lower() for name in os.environ.get(TRUSTED, "").split(",") if name.strip()]


def names(configured: Iterable[str]) -> Iterator[str]:
    """What this machine is called: by itself, in /etc/hosts, within its own domains, and as it was told to listen."""
    yield from configured
    yield from trusted()
    own = socket.gethostname()
    yield own
    for words in _lines("/etc/hosts"):
        if own in words[1:] or _is_loopback(words[0]):
            yield from words[1:]
    for words in _lines("/etc/resolv.conf"):
        if words[0] in ("search", "domain"):
            yield from (f"{own}.{domain}" for domain in words[1:])


def _lines(path: str) -> Iterator[list[str]]:
    try:
        text = Path(path).read_text(errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        if words := line.partition("#")[0].split():
            yield words


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ipaddress.ip_address(text.partition("%")[0]).is_loopback
