"""Docker's words for a mount, parsed (pure but for the existence of a source): `-v`, `--mount`, `--volumes-from`.

InvalidArgument with Docker's texts. Which volumes exist, and what is mounted where, is not known here.
"""

import os
import posixpath
from pathlib import Path
from typing import Final

from protos import errdefs
from services.dockerd.oci import tmpfs
from services.dockerd.schema.container import Mount, MountBind, MountDriver, MountVolume
from services.dockerd.volumes.mountpoint import MountPoint

PROPAGATIONS: Final = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
DEFAULT_PROPAGATION: Final = "rprivate"
_KINDS: Final = {
    **dict.fromkeys(("ro", "rw"), "access"), **dict.fromkeys(("z", "Z"), "label"),
    **dict.fromkeys(PROPAGATIONS, "propagation"), "nocopy": "copy", "copy": "copy",
    **dict.fromkeys(("consistent", "cached", "delegated", "default"), "consistency"),
}
"""Option of `-v` -> its kind, of which one is allowed."""


def bind(text: str, driver: str = "") -> MountPoint:
    """One `-v`: `[source:]target[:options]`. A source that is no absolute path is a volume's name."""
    source, target, mode = _split(text)
    options = _options(mode)
    if options is None:
        raise errdefs.InvalidArgument(f"invalid mode: {mode}")
    spec = Mount(Source=source, Target=target, ReadOnly="ro" in options.values())
    spec.Type = "bind" if source.startswith("/") else "volume"
    if "copy" in options or (driver and spec.Type == "volume"):
        spec.VolumeOptions = MountVolume(NoCopy=options.get("copy") == "nocopy")
        if driver and spec.Type == "volume":
            spec.VolumeOptions.DriverConfig = MountDriver(Name=driver)
    if "propagation" in options:
        spec.BindOptions = MountBind(Propagation=options["propagation"])
    try:
        point = mount(spec, source_exists=False)
    except errdefs.InvalidArgument as error:
        raise errdefs.InvalidArgument(f"invalid volume specification: '{text}': {error}") from error
    point.mode, point.must_exist = mode, False
    return point


def _split(text: str) -> tuple[str, str, str]:
    parts = text.split(":", 3)
    wrong = errdefs.InvalidArgument(f"invalid volume specification: '{text}'")
    if not parts[0] or len(parts) > 3:
        raise wrong
    if len(parts) == 1:
        return "", parts[0], ""
    if len(parts) == 2 and _options(parts[1]) is not None:
        raise wrong  # `/target:ro` names no source
    return parts[0], parts[1], parts[2] if len(parts) == 3 else ""


def _options(mode: str) -> dict[str, str] | None:
    """Kind -> option; None for an unknown one or two of a kind."""
    chosen: dict[str, str] = {}
    for option in mode.split(",") if mode else ():
        kind = _KINDS.get(option)
        if kind is None or kind in chosen:
            return None
        chosen[kind] = option
    return chosen


def volumes_from(text: str) -> tuple[str, bool]:
    """One `--volumes-from`: the container, and whether its mounts stay writable."""
    if not text:
        raise errdefs.InvalidArgument("volumes-from specification cannot be an empty string")
    reference, _, mode = text.partition(":")
    options = _options(mode)
    if options is None or {"propagation", "copy"} & options.keys():
        raise errdefs.InvalidArgument(f"invalid mode: {mode}")
    return reference, options.get("access") != "ro"


def mount(spec: Mount, *, source_exists: bool = True) -> MountPoint:
    """One `--mount`; a bind's source must be there unless told otherwise."""
    problem = _problem(spec, source_exists)
    if problem:
        raise errdefs.InvalidArgument(f'invalid mount config for type "{spec.Type}": {problem}')
    point = MountPoint(
        spec.Type, posixpath.normpath(spec.Target).replace("//", "/"), rw=not spec.ReadOnly, spec=spec
    )
    if spec.Type == "volume":
        options = spec.VolumeOptions or MountVolume()
        point.name = spec.Source or ""
        point.copy = not options.NoCopy
        point.driver = options.DriverConfig.Name if options.DriverConfig else ""
    elif spec.Type == "bind":
        point.source = posixpath.normpath(spec.Source or "").replace("//", "/")
        point.must_exist = not (spec.BindOptions and spec.BindOptions.CreateMountpoint)
        point.propagation = (spec.BindOptions and spec.BindOptions.Propagation) or DEFAULT_PROPAGATION
    elif spec.Type == "image":
        point.name, point.rw = spec.Source or "", False
        point.propagation = DEFAULT_PROPAGATION
    return point


def destination(path: str) -> str:
    """What is wrong with a mount's target; "" if nothing."""
    if not path:
        return "field Target must not be empty"
    if posixpath.normpath(path.replace("\\", "/")) in ("/", "//", "."):
        return "invalid specification: destination can't be '/'"
    if not path.startswith("/"):
        return f"invalid mount path: '{path}' mount path must be absolute"
    return ""


def _problem(spec: Mount, source_exists: bool) -> str:
    problem = destination(spec.Target)
    if problem:
        return problem
    if spec.Type == "bind":
        return _bind_problem(spec, source_exists)
    if spec.Type == "volume":
        return _volume_problem(spec)
    if spec.Type == "tmpfs":
        return _tmpfs_problem(spec)
    if spec.Type == "image":
        return _image_problem(spec)
    return "mount type unknown"


def _bind_problem(spec: Mount, source_exists: bool) -> str:
    options = spec.BindOptions or MountBind()
    if not spec.Source:
        return "field Source must not be empty"
    if options.Propagation and options.Propagation not in PROPAGATIONS:
        return f"invalid propagation mode: {options.Propagation}"
    if spec.VolumeOptions is not None:
        return "field VolumeOptions must not be specified"
    if spec.ImageOptions is not None:
        return "field ImageOptions must not be specified"
    if not spec.Source.startswith("/"):
        return f"invalid mount path: '{spec.Source}' mount path must be absolute"
    if options.ReadOnlyNonRecursive and options.ReadOnlyForceRecursive:
        return "ReadOnlyNonRecursive and ReadOnlyForceRecursive are mutually exclusive"
    if source_exists and not options.CreateMountpoint and not os.path.lexists(spec.Source):
        return f"bind source path does not exist: {spec.Source}"
    return ""


def _volume_problem(spec: Mount) -> str:
    subpath = spec.VolumeOptions.Subpath if spec.VolumeOptions else None
    if spec.BindOptions is not None:
        return "field BindOptions must not be specified"
    if subpath and not spec.Source:
        return "must not set Subpath when using anonymous volumes"
    if subpath and not _local(subpath):
        return "subpath must be a relative path within the volume"
    if spec.ReadOnly and not spec.Source:
        return "must not set ReadOnly mode when using anonymous volumes"
    return ""


def _image_problem(spec: Mount) -> str:
    if not spec.Source:
        return "field Source must not be empty"
    if spec.BindOptions is not None:
        return "field BindOptions must not be specified"
    if spec.VolumeOptions is not None:
        return "field VolumeOptions must not be specified"
    subpath = spec.ImageOptions.Subpath if spec.ImageOptions else None
    if subpath and not _local(subpath):
        return "subpath must be a relative path within the volume"
    return ""


def _local(subpath: str) -> bool:
    return not subpath.startswith("/") and ".." not in Path(subpath).parts


def _tmpfs_problem(spec: Mount) -> str:
    if spec.BindOptions is not None:
        return "field BindOptions must not be specified"
    if spec.Source:
        return "field Source must not be specified"
    try:
        tmpfs.from_mount(spec.TmpfsOptions, read_only=bool(spec.ReadOnly))
    except errdefs.InvalidArgument as error:
        return str(error)
    return ""
