"""The file system that a storage driver's root lies on: its type, and what it can do."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from services.containerd import linux


def filesystem(path: Path) -> str:
    """Type of the file system that holds `path`, or will hold it once it is made, from the mount table."""
    while not path.exists():
        path = path.parent
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    place, kind = "", "unknown"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        # A subvolume of btrfs has a device of its own: there the longest mount point above counts.
        if fields[2] == wanted:
            return fields[fields.index("-") + 1]
        if path.is_relative_to(fields[4]) and len(fields[4]) >= len(place):
            place, kind = fields[4], fields[fields.index("-") + 1]
    return kind


def known(name: str) -> bool:
    """Whether the kernel has a file system of that name, its module loaded if need be."""
    if _listed(name):
        return True
    program = shutil.which("modprobe", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program and _is_module(name):
        subprocess.run([program, "-q", name], stdin=subprocess.DEVNULL, check=False)
    return _listed(name)


def _is_module(name: str) -> bool:
    """Looked up here: a program started in vain would cost every start of the daemon some milliseconds."""
    try:
        return f"/{name}.ko" in Path(f"/lib/modules/{os.uname().release}/modules.dep").read_text()
    except OSError:
        return False


def _listed(name: str) -> bool:
    return re.search(rf"\b{name}$", Path("/proc/filesystems").read_text(), re.MULTILINE) is not None


def has_types(directory: Path) -> bool:
    """Whether a directory's entries say what they are (d_type); old xfs was made without it."""
    trial = directory / "d_type"
    trial.touch()
    try:
        return linux.DT_UNKNOWN not in linux.entry_types(str(directory)).values()
    finally:
        trial.unlink()
