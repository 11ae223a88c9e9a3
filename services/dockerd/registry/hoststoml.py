"""`<directory>/<host:port>/hosts.toml`: containerd's map of a registry to the addresses that serve it.

`_default` stands for all that have none of their own.
Read: `server`, and by `[host."URL"]` `capabilities`, `ca`, `client`, `skip_verify`, `override_path`, `header`.
"""

import tomllib
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from protos.errdefs import FailedPrecondition
from services.dockerd.registry.hosts import HUB, Endpoint

_CAPABILITIES: Final = ("pull", "resolve", "push")


def endpoints(directory: Path, domain: str, *, push: bool = False) -> list[Endpoint] | None:
    """The addresses of a registry by its file; None without one. FailedPrecondition names what is wrong in it."""
    for name in (domain, domain.replace(":", "_") + "_", "_default"):
        path = directory / name / "hosts.toml"
        try:
            document = tomllib.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            raise FailedPrecondition(f"{path}: {error}") from error
        return _read(path, document, domain, push)
    return None


def _read(path: Path, document: dict[str, Any], domain: str, push: bool) -> list[Endpoint]:
    hosts = document.get("host") or {}
    if not isinstance(hosts, dict) or not all(isinstance(each, dict) for each in hosts.values()):
        raise FailedPrecondition(f'{path}: host is not a set of tables, each named by a URL: [host."https://…"]')
    found = [
        _endpoint(path, url, table, mirror=True)
        for url, table in hosts.items()
        if _able(path, url, table, ("push",) if push else ("pull", "resolve"))
    ]
    server = document.get("server") or f"https://{HUB if domain == 'docker.io' else domain}"
    if not isinstance(server, str):
        raise FailedPrecondition(f"{path}: server is not a URL")
    own: dict[str, Any] = {key: value for key, value in document.items() if key not in ("host", "server")}
    return [*found, _endpoint(path, server, own, mirror=False)]


def _able(path: Path, url: str, table: dict[str, Any], wanted: tuple[str, ...]) -> bool:
    given = table.get("capabilities", list(_CAPABILITIES))
    if not isinstance(given, list) or not all(each in _CAPABILITIES for each in given):
        raise FailedPrecondition(f'{path}: host "{url}": capabilities are of {", ".join(_CAPABILITIES)}')
    return all(each in given for each in wanted)


def _endpoint(path: Path, url: str, table: dict[str, Any], *, mirror: bool) -> Endpoint:
    text = url if "://" in url else f"https://{url}"
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise FailedPrecondition(f'{path}: "{url}" is not the URL of a registry')
    where = parts.path.rstrip("/")
    override = table.get("override_path") is True
    return Endpoint(
        parts.scheme, parts.netloc, verify=table.get("skip_verify") is not True, mirror=mirror,
        path=where.removesuffix("/v2") if not override else where, api="/" if override else "/v2/",
        authorities=_files(path, table.get("ca", [])), pairs=_pairs(path, table.get("client", [])),
        headers=_headers(path, table.get("header", {})),
    )


def _files(path: Path, value: Any) -> tuple[str, ...]:
    """Paths, relative ones beside the file."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise FailedPrecondition(f"{path}: ca is a path or a list of them")
    return tuple(str(path.parent / each) for each in names)


def _pairs(path: Path, value: Any) -> tuple[tuple[str, str], ...]:
    """Certificates with their keys; one path holds both."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        raise FailedPrecondition(f"{path}: client is a path or a list of pairs of certificate and key")
    found = []
    for item in items:
        both = _files(path, item)
        if not 1 <= len(both) <= 2:
            raise FailedPrecondition(f"{path}: client is a path or a list of pairs of certificate and key")
        found.append((both[0], both[-1] if both[-1:] != ("",) else both[0]))
    return tuple(found)


def _headers(path: Path, value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise FailedPrecondition(f"{path}: header is a table")
    return tuple(
        (key, each) for key, given in value.items() for each in (given if isinstance(given, list) else [given])
        if isinstance(each, str)
    )
