"""The init's exit on disk, in the bundle: what is known of a container whose shim was killed."""

import json
import os
from pathlib import Path
from typing import Final

from services.shim.reaper import Exit

NAME: Final = "exit.json"


def write(bundle: Path, ended: Exit) -> None:
    """Written whole and synced before anybody is told."""
    draft = bundle / f".{NAME}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps({"pid": ended.pid, "status": ended.status, "at": ended.at}).encode())
        os.fdatasync(fd)
    finally:
        os.close(fd)
    draft.rename(bundle / NAME)


def read(bundle: Path) -> Exit | None:
    """None where the init had not ended, or nobody saw it."""
    try:
        record = json.loads((bundle / NAME).read_bytes())
        return Exit(int(record["pid"]), int(record["status"]), int(record["at"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return None
