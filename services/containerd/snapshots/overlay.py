"""Storage driver `overlayfs`: a layer is a directory `fs`, stacked by the kernel; Docker calls it overlay2."""

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.containerd.diff import implied
from services.containerd.snapshots import backing, options, stacking
from services.containerd.snapshots.directories import disk_usage
from services.containerd.snapshots.numbered import Numbered
from services.containerd.snapshots.quota import Projects

log = logging.getLogger("snapshots")

_NO_SIZE: Final = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"


class Overlay(Numbered):
    name = "overlayfs"
    docker = "overlay2"
    rebases = True
    quick = True

    def __init__(self, root: Path, options: Mapping[str, str] = {}) -> None:
        super().__init__(root)
        self._size = _parse(options)
        self._projects: Projects | None = None
        self._options = stacking.switched_off()

    def refusal(self, scratch: Path) -> str:
        return stacking.refusal(self.root, scratch, self.docker)

    def open(self, known: set[int]) -> None:
        super().open(known)
        filesystem = backing.filesystem(self.root)
        if filesystem != "xfs":
            if self._size:
                raise errdefs.FailedPrecondition(
                    f"Storage Option overlay2.size only supported for backingFS XFS. Found {filesystem}"
                )
            return
        try:
            self._projects = Projects(self.root)
        except OSError as error:
            if self._size:
                raise errdefs.FailedPrecondition(
                    "Storage option overlay2.size not supported. Filesystem does not support Project Quota:"
                    f" {error.strerror}"
                ) from error

    def make(self, number: int, parents: list[int], *, writable: bool, size: int = 0) -> None:
        if size and not self._projects:
            raise errdefs.InvalidArgument(_NO_SIZE)
        path = self._directories.path(number)
        path.mkdir(mode=0o700)
        if self._projects and writable and parents and (size or self._size):
            self._projects.confine(path, number, size or self._size)
        upper = path / "fs"
        upper.mkdir(mode=0o755)
        if writable:
            (path / "work").mkdir(mode=0o711)
        if parents:
            stacking.copy_owner(self._layer(parents[0]), upper)

    def mounts(self, number: int, parents: list[int], *, writable: bool) -> list[Mount]:
        layers = [str(self._layer(parent)) for parent in parents]
        if not layers:
            return [stacking.bind(str(self._layer(number)), writable=writable)]
        if not writable and len(layers) == 1:
            return [stacking.bind(layers[0], writable=False)]
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

    def discard(self, number: int) -> None:
        super().discard(number)
        if self._projects:
            with contextlib.suppress(OSError):
                self._projects.release(number)

    def labels(self, number: int) -> dict[str, str]:
        return {"containerd.io/snapshot/overlay.upperdir": str(self._layer(number))}

    def usage(self, number: int, parents: list[int]) -> tuple[int, int]:
        return disk_usage(self._layer(number))

    def status(self) -> list[tuple[str, str]]:
        """Whatever the kernel's defaults, the options that would make it otherwise are switched off."""
        return [
            ("Backing Filesystem", backing.filesystem(self.root)), ("Supports d_type", "true"),
            ("Using metacopy", "false"), ("Native Overlay Diff", "true"), ("userxattr", "false"),
        ]

    def _layer(self, number: int) -> Path:
        return self._directories.path(number) / "fs"


def _parse(given: Mapping[str, str]) -> int:
    """The size that every container may have, 0 for no limit."""
    size = 0
    for key, value in given.items():
        if key == "overlay2.size":
            size = options.size(value)
        elif key == "overlay2.override_kernel_check":
            log.warning(
                "DEPRECATED: the overlay2.override_kernel_check option is ignored and will be removed in the next"
                " release. You can safely remove this option from your configuration."
            )
        else:
            raise errdefs.InvalidArgument(f"overlay2: unknown option {key}")
    return size
