"""File systems on thin devices, by their own tools: made, grown, told apart by their UUID."""

import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Final

from protos import errdefs

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAKE: Final = {
    # Nothing is put off until the first mount, which would write the same into every snapshot.
    "ext4": ("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"),
    "xfs": ("mkfs.xfs", "-q", "-f", "-K"),
}
_UUID_AT: Final = {"ext4": 1024 + 0x68, "xfs": 32}
MOUNT: Final = {"ext4": (), "xfs": ("nouuid",)}
"""Options of every mount: snapshots have their origin's UUID, which xfs refuses to see twice."""


def choose(given: str) -> str:
    """The kind asked for, else Docker's choice: xfs where it can be made."""
    kind = given or ("xfs" if shutil.which("mkfs.xfs", path=_PATH) else "ext4")
    if not shutil.which(_MAKE[kind][0], path=_PATH):
        raise errdefs.FailedPrecondition(f"devmapper: {_MAKE[kind][0]} is not installed")
    return kind


def make(kind: str, device: str, arguments: tuple[str, ...]) -> None:
    _run(*_MAKE[kind], *arguments, device)


def grow(kind: str, device: str, mounted_at: Path) -> None:
    """To the size of its device; while it is mounted."""
    if kind == "xfs":
        _run("xfs_growfs", str(mounted_at))
    else:
        _run("resize2fs", device)


def read_uuid(kind: str, device: str) -> str:
    with Path(device).open("rb") as file:
        file.seek(_UUID_AT[kind])
        return str(uuid.UUID(bytes=file.read(16)))


def _run(*words: str) -> None:
    program = shutil.which(words[0], path=_PATH)
    if not program:
        raise errdefs.FailedPrecondition(f"devmapper: {words[0]} is not installed")
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise errdefs.FailedPrecondition(f"devmapper: {' '.join(words)} ended with {done.returncode}: {said}")
