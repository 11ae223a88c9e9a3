"""What is known of thin devices on disk: one record in each snapshot's directory, one of the pool.

A record is written, synced, before the pool hears of the device: after a crash every device in the pool has one, and a
record whose device is missing is merely removed.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from protos import errdefs

_NAME: Final = "device.json"
_POOL: Final = "pool.json"


@dataclass(frozen=True, slots=True)
class Device:
    id: int
    """The pool's number of it."""
    size: int
    """Bytes, as whoever mounts it sees them."""
    transaction: int = 0
    """The pool's transaction that made it: a pool that is older has lost it."""


@dataclass(frozen=True, slots=True)
class PoolRecord:
    given: str
    """Name of the pool where it was given; empty where it is made here."""
    data: str
    metadata: str
    """Devices that it is made on; empty for loop files."""
    block_size: int
    filesystem: str
    base: Device
    """An empty file system, of which all snapshots without a parent are snapshots."""
    uuid: str = ""
    """Of the base's file system; empty until that is made."""
    growing: bool = False
    """Whether the base's device is larger than its file system, which is to follow."""


def prefix(root: Path) -> str:
    """What the names of a data root's devices begin with: Docker's."""
    facts = root.stat()
    return f"docker-{os.major(facts.st_dev)}:{os.minor(facts.st_dev)}-{facts.st_ino}"


def write(directory: Path, device: Device) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    _write(directory / _NAME, json.dumps(asdict(device)))
    _sync(directory.parent)


def read(directory: Path) -> Device | None:
    """None where the directory holds none, or half of one: then the pool has not heard of it."""
    try:
        return Device(**json.loads((directory / _NAME).read_text()))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def all_below(*places: Path) -> Iterator[Device]:
    for place in places:
        for entry in place.iterdir() if place.exists() else ():
            if device := read(entry):
                yield device


def write_pool(root: Path, pool: PoolRecord) -> None:
    _write(root / _POOL, json.dumps(asdict(pool)))


def read_pool(root: Path) -> PoolRecord | None:
    try:
        document = json.loads((root / _POOL).read_text())
        return replace(PoolRecord(**document), base=Device(**document["base"]))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise errdefs.DataLoss(f"{root / _POOL} is damaged: {error}") from error


def _write(path: Path, text: str) -> None:
    half = path.with_name(f"{path.name}.new")
    with half.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    half.rename(path)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
