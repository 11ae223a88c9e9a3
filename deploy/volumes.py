"""Copies the named volumes of Docker's own data root into those of an engine on this machine.

One whose copy was cut short is marked, and copied anew the next time; one that holds something else is left alone.
Standard library only.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.api import Refused

_HALF: Final = "adopting"


def adopt(root: Path, words: Sequence[str]) -> None:
    """`words` are the docker client's options."""
    for source in sorted((root / "volumes").glob("*/_data")):
        name = source.parent.name
        options = _options(source.parent)
        made = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        _docker(words, "volume", "create", *made, name)
        if options.get("device"):
            _say(f"volume {name}: it is mounted, and keeps its options alone")
            continue
        place = Path(_docker(words, "volume", "inspect", "-f", "{{.Mountpoint}}", name))
        _say(f"volume {name}: " + ("copied" if _copy(source, place) else "left alone, for it is not empty"))


def _options(volume: Path) -> dict[str, str]:
    try:
        document = json.loads((volume / "opts.json").read_text())
    except FileNotFoundError:
        return {}
    keys = {"MountType": "type", "MountOpts": "o", "MountDevice": "device"}
    found = {key: str(document[theirs]) for theirs, key in keys.items() if document.get(theirs)}
    size = (document.get("Quota") or {}).get("Size")
    return {**found, "size": str(size)} if size else found


def _copy(source: Path, place: Path) -> bool:
    mark = place.with_name(_HALF)
    if mark.exists():
        for entry in place.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    elif any(place.iterdir()):
        return False
    mark.touch()
    done = subprocess.run(
        ["cp", "-a", "--reflink=auto", "--sparse=auto", f"{source}/.", place], capture_output=True, text=True
    )
    if done.returncode:
        raise Refused(f"volume {source.parent.name}: {done.stderr.strip()}")
    os.sync()
    mark.unlink()
    return True


def _docker(words: Sequence[str], *more: str) -> str:
    done = subprocess.run(["docker", *words, *more], capture_output=True, text=True)
    if done.returncode:
        raise Refused(done.stderr.strip())
    return done.stdout.strip()


def _say(text: str) -> None:
    print(text, file=sys.stderr)
