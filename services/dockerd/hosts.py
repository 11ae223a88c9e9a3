"""`-H`: an address as people write it, taken apart, with Docker's refusals (pure). Sockets: web/listeners.py.

`unix:///path`, a bare `/path`, `tcp://host:port`, `host:port`, `fd://`, `fd://name`, `fd://3`.
"""

from dataclasses import dataclass
from typing import Final

SOCKET: Final = "/var/run/docker.sock"
PLAIN_PORT: Final = 2375
SECURE_PORT: Final = 2376


@dataclass(frozen=True, slots=True)
class Host:
    """`scheme` is unix, tcp or fd; `target` a path, a host (bare, also of IPv6) or what `fd://` names."""

    scheme: str
    target: str
    port: int = 0

    def __str__(self) -> str:
        if self.scheme != "tcp":
            return f"{self.scheme}://{self.target}"
        return f"tcp://[{self.target}]:{self.port}" if ":" in self.target else f"tcp://{self.target}:{self.port}"


def parse(text: str, *, secure: bool = False) -> Host:
    """What `-H text` means; with TLS (`secure`) other defaults. ValueError in Docker's words."""
    bare = text.strip()
    if not bare:
        return Host("tcp", "localhost", SECURE_PORT) if secure else Host("unix", SOCKET)
    scheme, separator, rest = bare.partition("://")
    if not separator:
        scheme, rest = ("unix", bare) if bare.startswith("/") else ("tcp", bare)
    if scheme == "unix":
        if "://" in rest:
            raise ValueError(f"invalid bind address ({bare}): invalid unix address: {rest}")
        if rest and not rest.startswith("/"):
            raise ValueError(f"invalid bind address ({bare}): the path of a unix socket must be absolute")
        return Host("unix", rest or SOCKET)
    if scheme == "fd":
        return Host("fd", "" if rest == "*" else rest)
    if scheme == "tcp":
        host, port = _tcp(bare, rest)
        return Host("tcp", host or "localhost", int(port or (SECURE_PORT if secure else PLAIN_PORT)))
    raise ValueError(f"invalid bind address ({bare}): unsupported proto '{scheme}'")


def _tcp(bare: str, address: str) -> tuple[str, str]:
    problem = f"invalid bind address ({bare})"
    if "/" in address or "?" in address or "#" in address:
        raise ValueError(f"{problem}: should not contain a path element")
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        host, port = address, ""
    bracketed = host.startswith("[") and host.endswith("]")
    if (":" in host and not bracketed) or any(letter.isspace() or letter == "@" for letter in host):
        raise ValueError(f"{problem}: invalid host: {host}")
    if port and not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise ValueError(f"{problem}: invalid port: {port}")
    return host.removeprefix("[").removesuffix("]"), port


def read(text: str) -> str:
    """A value of `-H`, checked and kept as it was written."""
    parse(text)
    return text
