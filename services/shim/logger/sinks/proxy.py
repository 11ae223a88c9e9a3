"""The HTTP proxy on the way to a sink, by the environment that the shim has from dockerd."""

import base64
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from protos import proxies
from services.shim.logger.sinks.endpoint import Address

_PORT: Final = 80


@dataclass(frozen=True, slots=True)
class Proxy:
    address: Address
    headers: dict[str, str]
    """What it is shown: name and password of its URL."""


def of(scheme: str, host: str) -> Proxy | None:
    """The one for URLs of `scheme` at `host`, with or without port; ValueError for one that is no HTTP proxy."""
    text = proxies.told().of(scheme, host)
    if not text:
        return None
    parts = urlsplit(text)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"proxy {parts.scheme}://{parts.hostname or ''} is not supported: name one of http://")
    address = Address.of("tcp", parts.hostname, parts.port or _PORT)
    if parts.username is None:
        return Proxy(address, {})
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Proxy(address, {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"})
