"""From the mounts of a request to directories: what to unpack into, what to compare.

Bind mounts and overlays whose upper directory is known are used in place. Anything else is mounted for the moment.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from protos import errdefs
from protos.containerd.types.mount_pb2 import Mount
from services.containerd import linux
from services.containerd.diff.layer import Layer
from services.containerd.diff.whiteout import Form

_FLAGS: Final = {
    "ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "sync": 16, "dirsync": 128, "noatime": 1024, "nodiratime": 2048,
    "bind": 4096, "rbind": 4096 | 16384, "relatime": 1 << 21, "strictatime": 1 << 24, "rw": 0, "defaults": 0,
    "remount": linux.MS_REMOUNT,
}
_DATA_LIMIT: Final = os.sysconf("SC_PAGE_SIZE") - 1


def writable(mounts: Sequence[Mount], layered: Mapping[Path, Form]) -> Layer | None:
    """Where to unpack what is meant for these mounts; None where they must be mounted for it.

    A plain directory below one of `layered` is a layer to come, with whiteouts of that form.
    """
    if not mounts or any("remount" not in mount.options for mount in mounts[1:]):
        return None
    mount = mounts[0]
    if mount.type == "bind" and "ro" not in mount.options:
        path = Path(mount.source)
        form = next((form for root, form in layered.items() if path.is_relative_to(root)), Form.GONE)
        return Layer(path, form=form)
    if mount.type == "overlay" and option(mount, "upperdir"):
        return Layer(Path(option(mount, "upperdir")), lower(mount), Form.DEVICE)
    if mount.type == "aufs":
        (top, mode), *below = branches(mounts)
        if mode == "rw":
            return Layer(top, tuple(path for path, _ in below), Form.FILE)
    return None


def branches(mounts: Sequence[Mount]) -> list[tuple[Path, str]]:
    """The branches of an aufs, the topmost first, with their modes."""
    words = [word for mount in mounts for text in mount.options for word in _branch_words(text)]
    return [(Path(path), mode) for path, _, mode in (word.rpartition("=") for word in words)]


def _branch_words(text: str) -> list[str]:
    if text.startswith("br:"):
        return text.removeprefix("br:").split(":")
    return [text.removeprefix("append:")] if text.startswith("append:") else []


def option(mount: Mount, name: str) -> str:
    prefix = name + "="
    return next((text.removeprefix(prefix) for text in mount.options if text.startswith(prefix)), "")


def lower(mount: Mount) -> tuple[Path, ...]:
    """The lower directories of an overlay, the nearest first; a bind mount's source."""
    if mount.type == "bind":
        return (Path(mount.source),)
    return tuple(Path(part) for part in option(mount, "lowerdir").split(":") if part)


@contextmanager
def mounted(mounts: Sequence[Mount], scratch: Path) -> Iterator[Path]:
    """A path at which the tree of these mounts lies, until the block ends; an empty directory for no mounts."""
    if len(mounts) == 1 and mounts[0].type == "bind":
        yield Path(mounts[0].source)
        return
    target = mkdtemp(dir=scratch)
    done = 0
    try:
        for mount in mounts:
            _mount(mount, target)
            done += "remount" not in mount.options
        yield Path(target)
    finally:
        for _ in range(done):
            linux.umount2(target, linux.MNT_DETACH)
        Path(target).rmdir()


def unmount_leftovers(scratch: Path) -> None:
    """What an earlier life left mounted."""
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    for entry in os.scandir(scratch):
        while os.path.ismount(entry.path):
            linux.umount2(entry.path, linux.MNT_DETACH)
        Path(entry.path).rmdir()


def _mount(mount: Mount, target: str) -> None:
    flags = 0
    data = []
    for text in mount.options:
        if text in _FLAGS:
            flags |= _FLAGS[text]
        else:
            data.append(text)
    kind = "" if mount.type in ("bind", "rbind") else mount.type
    try:
        if len(",".join(data)) > _DATA_LIMIT and lower(mount):
            _mount_relative(mount, target, data)
        else:
            linux.mount(mount.source, target, kind, flags, ",".join(data))
    except OSError as error:
        raise errdefs.FailedPrecondition(f"cannot mount {mount.type} {mount.source}: {error.strerror}") from error


def _mount_relative(mount: Mount, target: str, data: Sequence[str]) -> None:
    """Many lower directories, named from the one they share: options may fill one page.

    In a thread with a working directory of its own.
    """
    layers = lower(mount)
    shared = os.path.commonpath(layers)
    short = "lowerdir=" + ":".join(os.path.relpath(layer, shared) for layer in layers)
    words = [short if text.startswith("lowerdir=") else text for text in data]
    failures: list[OSError] = []

    def work() -> None:
        try:
            linux.unshare(linux.CLONE_FS)
            os.chdir(shared)
            linux.mount(mount.source, target, mount.type, 0, ",".join(words))
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="mount")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
