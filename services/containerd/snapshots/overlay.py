"""Storage driver `overlayfs`: a layer is a directory `fs`, stacked by the kernel; Docker calls it overlay2."""

import os
import re
import shutil
from pathlib import Path
from typing import Final

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.containerd.diff import implied
from services.containerd.diff.mounted import mounted
from services.containerd.snapshots.directories import TRASH, Directories, disk_usage

_PARAMETERS: Final = Path("/sys/module/overlay/parameters")
_UNWANTED: Final = ("index", "redirect_dir", "metacopy")
"""Options that would put more than files and whiteouts into an upper directory."""


def refusal(root: Path, scratch: Path) -> str:
    """Why the kernel will not stack directories below `root`; empty where it will."""
    if not re.search(r"\boverlay$", Path("/proc/filesystems").read_text(), re.MULTILINE):
        return "the kernel has no overlayfs: modprobe overlay"
    trial = root / TRASH / "trial"
    layers = [trial / name for name in ("lower1", "lower2", "upper", "work")]
    for layer in layers:
        layer.mkdir(parents=True, exist_ok=True)
    lower1, lower2, upper, work = layers
    stack = Mount(
        type="overlay", source="overlay",
        options=[f"lowerdir={lower1}:{lower2}", f"upperdir={upper}", f"workdir={work}", *_switched_off()],
    )
    try:
        with mounted([stack], scratch):
            return ""
    except errdefs.FailedPrecondition as error:
        return f"{root} cannot hold overlayfs layers: {error}"
    finally:
        shutil.rmtree(trial)


class Overlay:
    name = "overlayfs"
    rebases = True
    quick = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self._directories = Directories(root)
        self.discard = self._directories.discard
        self.sweep = self._directories.sweep
        self._options = _switched_off()

    def open(self, known: set[int]) -> None:
        self._directories.open(known)

    def make(self, number: int, parents: list[int], *, writable: bool) -> None:
        path = self._directories.path(number)
        path.mkdir(mode=0o700)
        upper = path / "fs"
        upper.mkdir(mode=0o755)
        if writable:
            (path / "work").mkdir(mode=0o711)
        if parents:
            _copy_owner(self._layer(parents[0]), upper)

    def mounts(self, number: int, parents: list[int], *, writable: bool) -> list[Mount]:
        layers = [str(self._layer(parent)) for parent in parents]
        if not layers:
            return [_bind(str(self._layer(number)), writable=writable)]
        if not writable and len(layers) == 1:
            return [_bind(layers[0], writable=False)]
        options = list(self._options)
        if writable:
            path = self._directories.path(number)
            options += [f"workdir={path / 'work'}", f"upperdir={path / 'fs'}"]
        options.append("lowerdir=" + ":".join(layers))
        return [Mount(type="overlay", source="overlay", options=options)]

    def rebase(self, number: int, parents: list[int]) -> None:
        """Directories that the layer's archive only implied get their parents' owner and mode now."""
        upper = self._layer(number)
        implied.settle(upper, [self._layer(parent) for parent in parents])

    def labels(self, number: int) -> dict[str, str]:
        return {"containerd.io/snapshot/overlay.upperdir": str(self._layer(number))}

    def usage(self, number: int, parents: list[int]) -> tuple[int, int]:
        return disk_usage(self._layer(number))

    def _layer(self, number: int) -> Path:
        return self._directories.path(number) / "fs"


def _bind(source: str, *, writable: bool) -> Mount:
    return Mount(type="bind", source=source, options=["rw" if writable else "ro", "rbind"])


def _switched_off() -> list[str]:
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


def _copy_owner(source: Path, target: Path) -> None:
    """The root directory of a new layer looks like its parent's."""
    facts = source.stat()
    if (facts.st_uid, facts.st_gid) != (0, 0):
        os.chown(target, facts.st_uid, facts.st_gid)
    if facts.st_mode & 0o7777 != 0o755:
        target.chmod(facts.st_mode & 0o7777)
