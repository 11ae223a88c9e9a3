"""Where plugins of Docker's first kind are found: a socket by its file name, an address by a `.spec` or `.json` file.

`<name>.sock` before `<name>.spec` before `<name>.json`, each also as `<name>/<name>.*`. Nothing is connected to here.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from protos.errdefs import InvalidArgument, NotFound

SOCKETS: Final = Path("/run/docker/plugins")
SPECS: Final = (Path("/etc/docker/plugins"), Path("/usr/lib/docker/plugins"))
SCHEMES: Final = frozenset(("unix", "tcp", "http", "https"))


@dataclass(frozen=True, slots=True)
class Trust:
    """`TLSConfig` of a `.json` file: whom to trust, and what to show."""

    insecure: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a plugin listens."""

    name: str
    address: str
    trust: Trust | None = None


@dataclass(frozen=True, slots=True)
class Directories:
    """Where to look, in this order."""

    sockets: tuple[Path, ...] = (SOCKETS,)
    specs: tuple[Path, ...] = SPECS


def beneath(exec_root: Path) -> Directories:
    """Docker's own directories, and `plugins` below an exec root that is elsewhere."""
    own = exec_root / "plugins"
    return Directories((SOCKETS,) if own.resolve() == SOCKETS.resolve() else (own, SOCKETS))


def find(name: str, directories: Directories) -> Place:
    """The plugin's place; NotFound, or InvalidArgument where its file cannot be understood."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise NotFound(f'plugin "{name}" not found')
    for path in _candidates(directories.sockets, name, ".sock"):
        if path.is_socket():
            return Place(name, f"unix://{path}")
    for directory in directories.specs:
        for path in (*_candidates((directory,), name, ".spec"), *_candidates((directory,), name, ".json")):
            if path.is_file():
                return read(name, path)
    raise NotFound(f'plugin "{name}" not found')


def _candidates(directories: tuple[Path, ...], name: str, suffix: str) -> Iterator[Path]:
    for directory in directories:
        yield directory / f"{name}{suffix}"
        yield directory / name / f"{name}{suffix}"


def read(name: str, path: Path) -> Place:
    """What a `.spec` (an address) or a `.json` (Name, Addr, TLSConfig) says."""
    try:
        text = path.read_text().strip()
        place = _document(name, json.loads(text)) if path.suffix == ".json" else Place(name, text)
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"plugin {name}: {path} cannot be read: {error}") from error
    if urlsplit(place.address).scheme not in SCHEMES:
        raise InvalidArgument(f"plugin {name}: {path}: unknown protocol in the address {place.address!r}")
    return place


def _document(name: str, document: Any) -> Place:
    if not isinstance(document, dict) or not isinstance(document.get("Addr"), str):
        raise ValueError("expected an object with Addr")
    trust = document.get("TLSConfig")
    if trust is None:
        return Place(name, document["Addr"])
    if not isinstance(trust, dict):
        raise ValueError("TLSConfig must be an object")
    ca, cert, key = (str(trust.get(field) or "") for field in ("CAFile", "CertFile", "KeyFile"))
    # Without an authority there is nothing to check a certificate by: Docker's own rule.
    return Place(name, document["Addr"], Trust(trust.get("InsecureSkipVerify") is True or not ca, ca, cert, key))


def names(directories: Directories) -> list[str]:
    """Every plugin that `find` would find, sorted."""
    found: set[str] = set()
    for directory in directories.sockets:
        found.update(path.stem for path in _files(directory, (".sock",)) if path.is_socket())
    for directory in directories.specs:
        found.update(path.stem for path in _files(directory, (".spec", ".json")) if path.is_file())
    return sorted(found)


def _files(directory: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    try:
        entries = list(directory.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.is_dir():
            yield from (entry / f"{entry.name}{suffix}" for suffix in suffixes)
        elif entry.suffix in suffixes:
            yield entry
