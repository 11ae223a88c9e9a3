"""What drivers on overlayfs share: whether the kernel stacks directories here, and how it is asked to."""

import os
import shutil
from pathlib import Path
from typing import Final

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.containerd.diff.mounted import mounted
from services.containerd.snapshots import backing
from services.containerd.snapshots.directories import TRASH

_PARAMETERS: Final = Path("/sys/module/overlay/parameters")
_UNWANTED: Final = ("index", "redirect_dir", "metacopy")
"""Options that would put more than files and whiteouts into an upper directory."""


def refusal(root: Path, scratch: Path, docker: str) -> str:
    """Why the kernel will not stack directories below `root`; empty where it will. `docker` is the driver's name."""
    if not backing.known("overlay"):
        return "the kernel has no overlayfs: modprobe overlay"
    trial = root / TRASH / "trial"
    layers = [trial / name for name in ("lower1", "lower2", "upper", "work")]
    for layer in layers:
        layer.mkdir(parents=True, exist_ok=True)
    lower1, lower2, upper, work = layers
    stack = Mount(
        type="overlay", source="overlay",
        options=[f"lowerdir={lower1}:{lower2}", f"upperdir={upper}", f"workdir={work}", *switched_off()],
    )
    try:
        if not backing.has_types(trial):
            return _untyped(docker, backing.filesystem(root))
        with mounted([stack], scratch):
            return ""
    except errdefs.FailedPrecondition as error:
        return f"{root} cannot hold overlayfs layers: {error}"
    finally:
        shutil.rmtree(trial)


def _untyped(docker: str, filesystem: str) -> str:
    text = (
        f"{docker}: the backing {filesystem} filesystem is formatted without d_type support, which leads to incorrect"
        " behavior."
    )
    if filesystem == "xfs":
        text += " Reformat the filesystem with ftype=1 to enable d_type support."
    return text + " Backing filesystems without d_type support are not supported."


def switched_off() -> list[str]:
    """`index=off` where the kernel knows it; the others only where the kernel has them on by default."""
    found = []
    for name in _UNWANTED:
        try:
            default = (_PARAMETERS / name).read_text().strip()
        except OSError:
            continue
        if name == "index" or default in ("Y", "1"):
            found.append(f"{name}=off")
    return found


def bind(source: str, *, writable: bool) -> Mount:
    return Mount(type="bind", source=source, options=["rw" if writable else "ro", "rbind"])


def copy_owner(source: Path, target: Path) -> None:
    """The root directory of a new layer looks like its parent's."""
    facts = source.stat()
    if (facts.st_uid, facts.st_gid) != (0, 0):
        os.chown(target, facts.st_uid, facts.st_gid)
    if facts.st_mode & 0o7777 != 0o755:
        target.chmod(facts.st_mode & 0o7777)
