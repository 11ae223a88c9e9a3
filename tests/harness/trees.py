"""What an image looks like from within: all that two engines must agree on."""

import hashlib
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

from tests.harness.engine import Engine

Tree = dict[str, tuple[Any, ...]]


def look(root: Path) -> Tree:
    """Every file's kind and mode, owner, device, time, contents or target, xattrs, and fellow names."""
    found: Tree = {}
    names: dict[int, list[str]] = {}
    for path in (root, *sorted(root.rglob("*"))):
        name = str(path.relative_to(root))
        try:
            facts = path.lstat()
        except FileNotFoundError:
            continue  # a whiteout in an opaque directory, which Docker leaves and the kernel lists
        if not stat.S_ISDIR(facts.st_mode):
            names.setdefault(facts.st_ino, []).append(name)
        found[name] = (
            stat.filemode(facts.st_mode), facts.st_uid, facts.st_gid, facts.st_rdev, facts.st_mtime_ns,
            _contents(path, facts), _xattrs(path), names.get(facts.st_ino, []),
        )  # fmt: skip
    return found


def _contents(path: Path, facts: os.stat_result) -> object:
    if stat.S_ISREG(facts.st_mode):
        return facts.st_size, hashlib.sha256(path.read_bytes()).hexdigest()
    return path.readlink() if stat.S_ISLNK(facts.st_mode) else None


def _xattrs(path: Path) -> dict[str, bytes]:
    names = [name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith("trusted.overlay.")]
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


def of_image(engine: Engine, name: str) -> Tree:
    """By the directories that `docker image inspect` names."""
    data = engine.api.get(f"/images/{name}/json")["GraphDriver"]["Data"]
    place, empty = engine.root / "seen", engine.root / "empty"
    for each in (place, empty):
        each.mkdir(exist_ok=True)
    layers = [data["UpperDir"], *filter(None, data.get("LowerDir", "").split(":")), str(empty)]
    subprocess.run(["mount", "-t", "overlay", "-o", f"ro,lowerdir={':'.join(layers)}", "seen", place], check=True)
    try:
        return look(place)
    finally:
        subprocess.run(["umount", place], check=True)
        place.rmdir()
        empty.rmdir()
