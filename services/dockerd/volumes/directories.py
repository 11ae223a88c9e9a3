"""Volumes of the local driver on disk: `<name>/_data`, `opts.json` with the driver's options as Docker keeps them,
`metadata.json` with labels, options and creation time.

A volume appears by one rename and goes by one: `.new-*` and `.gone-*` are rests. `unfilled` beside `_data` marks a
copy-up that has not ended.
"""

import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from protos import errdefs
from services.dockerd.beneath import closing
from services.dockerd.volumes.volume import Volume

log = logging.getLogger("volumes")

_NEW, _GONE = ".new-", ".gone-"
UNFILLED: Final = "unfilled"
_FIELDS: Final = {"type": "MountType", "o": "MountOpts", "device": "MountDevice"}
"""Option -> its key in opts.json, which is Docker's."""


def make(
    root: Path, name: str, labels: dict[str, str] | None, options: dict[str, str], size: int = 0,
    limit: Callable[[Path], None] = lambda data: None,
) -> Volume:
    """The new volume, all of it or nothing; `limit` is given its directory before it appears."""
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    volume = Volume(name, str(root / name / "_data"), labels, options or None, created)
    building = root / f"{_NEW}{secrets.token_hex(8)}"
    building.mkdir(mode=0o700)
    try:
        (building / "_data").mkdir(mode=0o755)
        (building / "_data").chmod(0o755)
        limit(building / "_data")
        durable = not volume.anonymous
        if options:
            _write(building / "opts.json", _options_to_json(options, size), durable)
        document = {"CreatedAt": created, "Labels": labels} | ({"Options": options} if options else {})
        _write(building / "metadata.json", document, durable)
        building.rename(root / name)
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        raise errdefs.AlreadyExists(f"{root / name} cannot be made: {error.strerror}") from error
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return volume


def discard(root: Path, name: str) -> Path:
    """Take the volume off the books; what is left is to be deleted at leisure."""
    gone = root / f"{_GONE}{secrets.token_hex(8)}"
    (root / name).rename(gone)
    return gone


def found(root: Path) -> Iterator[Volume]:
    """Every volume; what a crash or another engine left out is filled in."""
    for entry in os.scandir(root):
        plain = not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
        if plain and Path(entry.path, "_data").is_dir():
            yield _read(Path(entry.path))


def rests(root: Path) -> list[str]:
    """What half-made and half-removed volumes have left."""
    return [entry.path for entry in os.scandir(root) if entry.name.startswith((_NEW, _GONE))]


def write(path: Path, document: Any) -> None:
    """A file that is there whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    _write(fresh, document, durable=True)
    fresh.rename(path)


def _write(path: Path, document: Any, durable: bool) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with closing(file):
        os.write(file, orjson.dumps(document))
        if durable:
            os.fsync(file)


def _read(directory: Path) -> Volume:
    metadata = load(directory / "metadata.json")
    options = metadata.get("Options") or _options_from_json(load(directory / "opts.json"))
    made = time.gmtime((directory / "_data").stat().st_mtime)
    created = metadata.get("CreatedAt") or time.strftime("%Y-%m-%dT%H:%M:%SZ", made)
    unfilled = (directory / UNFILLED).exists()
    return Volume(
        directory.name, str(directory / "_data"), metadata.get("Labels"), options, created, unfilled=unfilled
    )


def load(path: Path) -> dict[str, Any]:
    """The document of a file; an empty one where it is missing or torn."""
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("volume's file is not readable path=%s error=%s", path, error)
        return {}
    return document if isinstance(document, dict) else {}


def _options_to_json(options: Mapping[str, str], size: int) -> dict[str, Any]:
    return {key: options.get(option, "") for option, key in _FIELDS.items()} | {"Quota": {"Size": size}}


def _options_from_json(document: Mapping[str, Any]) -> dict[str, str] | None:
    options = {option: document[key] for option, key in _FIELDS.items() if document.get(key)}
    quota = document.get("Quota")
    if isinstance(quota, dict) and quota.get("Size"):
        options["size"] = str(quota["Size"])
    return options or None
