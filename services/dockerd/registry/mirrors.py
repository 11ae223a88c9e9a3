"""`<directory>/<registry>/hosts.toml` in containerd's layout: where to look for a registry's images, in which order.

A registry with a port may be written `host:port` or `host_port_`, `_default` stands for all that have no directory.
Only read here; addresses.py makes addresses of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from protos.errdefs import InvalidArgument

DEFAULT: Final = "_default"
CAPABILITIES: Final = ("pull", "resolve", "push")


@dataclass(frozen=True, slots=True)
class Host:
    """One place: a mirror, or the registry itself."""

    url: str
    capabilities: tuple[str, ...] = CAPABILITIES
    ca: tuple[Path, ...] = ()
    client: tuple[tuple[Path, Path], ...] = ()
    """Certificate and key; the key is "" where the certificate's file holds it."""
    skip_verify: bool = False
    override_path: bool = False
    """The URL's path is the API's root itself, without /v2."""
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Registry:
    """`hosts` are tried first, in the file's order; `server` last, "" is the registry by its own name."""

    hosts: tuple[Host, ...] = ()
    server: str = ""


def read(directory: Path) -> dict[str, Registry]:
    """All registries with a hosts.toml, by name; InvalidArgument names the file that is wrong."""
    try:
        places = sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {_name(place.name): _read(place / "hosts.toml") for place in places if (place / "hosts.toml").is_file()}


def find(directory: Path, domain: str) -> Registry | None:
    """What is said of one registry; None where nothing is."""
    host, colon, port = domain.rpartition(":")
    for name in (domain, f"{host}_{port}_" if colon else domain, DEFAULT):
        if (path := directory / name / "hosts.toml").is_file():
            return _read(path)
    return None


def _name(directory: str) -> str:
    """`host_5000_` is `host:5000`."""
    host, underscore, port = directory.removesuffix("_").rpartition("_")
    return f"{host}:{port}" if directory.endswith("_") and underscore and port.isdecimal() else directory


def _read(path: Path) -> Registry:
    import tomllib  # few have such files

    try:
        document = tomllib.loads(path.read_text())
        hosts = _table(document, "host")
        return Registry(
            tuple(_host(url, _table(hosts, url), path.parent) for url in hosts), _url(_text(document, "server"))
        )
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _host(url: str, given: dict[str, Any], directory: Path) -> Host:
    capabilities = tuple(given.get("capabilities", CAPABILITIES))
    if unknown := [each for each in capabilities if each not in CAPABILITIES]:
        raise ValueError(f'host "{url}": unknown capability {unknown[0]}')
    return Host(
        _url(url),
        capabilities,
        tuple(directory / each for each in _list(given.get("ca", []))),
        tuple(_pair(each, directory) for each in _list(given.get("client", []))),
        _flag(given, "skip_verify"),
        _flag(given, "override_path"),
        {name: tuple(map(str, _list(value))) for name, value in _table(given, "header").items()},
    )


def _url(text: str) -> str:
    """With a scheme: https where none is given."""
    scheme, colon, rest = text.rpartition("://")
    if not text:
        return ""
    if (colon and scheme not in ("http", "https")) or not rest:
        raise ValueError(f'invalid host "{text}": it is a name, or a URL of http or https')
    return text if colon else f"https://{text}"


def _pair(given: Any, directory: Path) -> tuple[Path, Path]:
    certificate, key = (*_list(given), "")[:2]
    return directory / certificate, directory / key if key else Path()


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _table(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key, {})
    if not isinstance(value, dict):
        raise ValueError(f"{key} must be a table")
    return value


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a string")
    return value


def _flag(document: dict[str, Any], key: str) -> bool:
    value = document.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be a boolean")
    return value
