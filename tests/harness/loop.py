"""File systems on loop images: what a storage driver wants to lie on, mounted for as long as a block lasts."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAKE = {
    "btrfs": ("mkfs.btrfs", "-q"), "xfs": ("mkfs.xfs", "-q"), "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs-untyped": ("mkfs.xfs", "-q", "-m", "crc=0", "-n", "ftype=0"),
}


def missing(kind: str) -> str:
    """Why no file system of that kind can be made here; empty where it can."""
    name = kind.partition("-")[0]
    if not shutil.which(MAKE[kind][0], path="/usr/sbin:/usr/bin:/sbin:/bin"):
        return f"{MAKE[kind][0]} is not installed: make test"
    known = Path("/proc/filesystems").read_text().split()
    return "" if name in known or _modprobe(name) else f"the kernel has no {name}"


def _modprobe(name: str) -> bool:
    program = shutil.which("modprobe", path="/usr/sbin:/sbin")
    return bool(program) and subprocess.run([str(program), "-q", name], check=False).returncode == 0


@contextmanager
def mounted(kind: str, at: Path, *, options: str = "loop", megabytes: int = 512) -> Iterator[Path]:
    """A fresh file system of that kind at `at`."""
    if not Path("/dev/loop-control").exists():
        _modprobe("loop")
    with tempfile.NamedTemporaryFile(prefix="loop-", dir="/dev/shm") as image:
        image.truncate(megabytes << 20)
        subprocess.run([*MAKE[kind], image.name], check=True, capture_output=True)
        at.mkdir(exist_ok=True, parents=True)
        subprocess.run(["mount", "-t", kind.partition("-")[0], "-o", options, image.name, at], check=True)
        try:
            yield at
        finally:
            subprocess.run(["umount", "--lazy", at], check=True)  # a file still open keeps it, and nothing after
