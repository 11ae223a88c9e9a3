"""Addresses as log options spell them: `tcp://host:port`, `unix:///path` and so on. Pure; dockerd has checked them."""

from urllib.parse import urlsplit

from services.shim.logger.sinks.endpoint import Address


def parse(text: str, port: int) -> tuple[str, Address]:
    """Scheme and address; `port` where none is given."""
    url = urlsplit(text)
    if url.scheme in ("unix", "unixgram"):
        return url.scheme, Address(url.scheme, url.path)
    network = "udp" if url.scheme == "udp" else "tcp"
    return url.scheme, Address.of(network, url.hostname or "127.0.0.1", url.port or port)
