"""Where programs are: shutil's `which` without its import, which costs more than all our calls."""

import os
from pathlib import Path
from typing import Final

PATH: Final = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
"""A PATH made for users lacks the system's directories."""


def which(program: str) -> str:
    """The path of a program, or ""."""
    if "/" in program:
        return program if _runs(program) else ""
    places = (f"{directory}/{program}" for directory in PATH.split(":") if directory)
    return next((place for place in places if _runs(place)), "")


def _runs(path: str) -> bool:
    return os.access(path, os.X_OK) and not Path(path).is_dir()


def init(configured: str) -> str:
    """Path of the program for `--init`: the configured one, else docker-init, else tini as Debian names it; or ""."""
    if configured:
        return which(configured)
    return which("docker-init") or which("tini-static")
