"""The options `dm.*`, as Docker has them, in its words. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from protos import errdefs
from services.containerd.snapshots import options

FILESYSTEMS: Final = ("ext4", "xfs")
_LVM: Final = (
    "dm.directlvm_device", "dm.directlvm_device_force", "dm.thinp_percent", "dm.thinp_metapercent",
    "dm.thinp_autoextend_percent", "dm.thinp_autoextend_threshold",
)
_PARSED_BOOL: Final = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


@dataclass(frozen=True, slots=True)
class Settings:
    base_size: int = 10 << 30
    base_size_given: bool = False
    loop_data_size: int = 100 << 30
    loop_metadata_size: int = 2 << 30
    filesystem: str = ""
    """Empty: xfs where mkfs.xfs is installed, else ext4."""
    mkfs: tuple[str, ...] = ()
    mount: tuple[str, ...] = ()
    pool: str = ""
    """Name of a pool that somebody else made."""
    data_device: str = ""
    metadata_device: str = ""
    block_size: int = 64 << 10
    discard: bool | None = None
    """Whether blocks are given back before a device is deleted: by itself on loop files, where that shrinks them."""
    deferred_removal: bool = False
    deferred_deletion: bool = False
    min_free: int = 10
    """Percent of the pool that must be free for a new device."""


def parse(given: Mapping[str, str]) -> Settings:
    """InvalidArgument in Docker's words."""
    settings = Settings()
    for key, value in given.items():
        settings = _set(settings, key, value)
    if settings.deferred_deletion and not settings.deferred_removal:
        raise errdefs.InvalidArgument(
            "devmapper: Deferred deletion can not be enabled as deferred removal is not enabled."
            " Enable deferred removal using --storage-opt dm.use_deferred_removal=true parameter"
        )
    return settings


def _set(settings: Settings, key: str, value: str) -> Settings:
    if key in _LVM:
        raise errdefs.InvalidArgument(
            f"devmapper: {key} is not done here: make the thin pool by lvcreate and give it by dm.thinpooldev"
        )
    if key == "dm.xfs_nospace_max_retries":
        raise errdefs.InvalidArgument(
            f"devmapper: {key} is not done here: a container mounts its device itself;"
            " set it in /sys/fs/xfs/<device>/error/metadata/ENOSPC/max_retries"
        )
    if key == "dm.basesize":
        return replace(settings, base_size=_size(key, value), base_size_given=True)
    if key == "dm.mkfsarg":
        return replace(settings, mkfs=(*settings.mkfs, *value.split()))
    if key == "dm.mountopt":
        return replace(settings, mount=(*settings.mount, *filter(None, value.split(","))))
    if key in ("dm.override_udev_sync_check", "dm.libdm_log_level"):
        _unused(key, value)
        return settings
    if key not in _FIELDS:
        raise errdefs.InvalidArgument(f"devmapper: Unknown option {key}")
    field, read = _FIELDS[key]
    return replace(settings, **{field: read(key, value)})


def _size(key: str, value: str) -> int:
    try:
        return options.size(value)
    except errdefs.InvalidArgument as error:
        raise errdefs.InvalidArgument(f"{error} ({key})") from error


def _block_size(key: str, value: str) -> int:
    """The kernel's rule: 64 KiB to 1 GiB, in steps of 64 KiB."""
    size = _size(key, value)
    if size % (64 << 10) or not 64 << 10 <= size <= 1 << 30:
        raise errdefs.InvalidArgument(f"devmapper: Invalid value {value} for option {key}: a multiple of 64k up to 1g")
    return size


def _bool(key: str, value: str) -> bool:
    if value not in _PARSED_BOOL:
        raise errdefs.InvalidArgument(f'strconv.ParseBool: parsing "{value}": invalid syntax ({key})')
    return _PARSED_BOOL[value]


def _filesystem(key: str, value: str) -> str:
    if value not in FILESYSTEMS:
        raise errdefs.InvalidArgument(f"devmapper: Unsupported filesystem {value}")
    return value


def _percent(key: str, value: str) -> int:
    if not value.endswith("%"):
        raise errdefs.InvalidArgument(f"devmapper: Option {key} requires % suffix")
    number = value.removesuffix("%")
    if not number.isdecimal():
        raise errdefs.InvalidArgument(f'strconv.ParseUint: parsing "{number}": invalid syntax')
    if int(number) >= 100:
        raise errdefs.InvalidArgument(f"devmapper: Invalid value {value} for option {key}")
    return int(number)


def _pool(key: str, value: str) -> str:
    return value.removeprefix("/dev/mapper/")


def _device(key: str, value: str) -> str:
    return value


def _unused(key: str, value: str) -> None:
    """Known, checked, and without effect: there is no libdevmapper here, and nobody waits for udev."""
    if key == "dm.override_udev_sync_check":
        _bool(key, value)
    elif not value.isdecimal():
        raise errdefs.InvalidArgument(f"could not parse `{key}={value}`: a number from 0 to 7")
    elif int(value) > 7:
        raise errdefs.InvalidArgument(f"dm.libdm_log_level must be in range [0,7]: {value}")


_FIELDS: Final[dict[str, tuple[str, Callable[[str, str], Any]]]] = {
    "dm.loopdatasize": ("loop_data_size", _size),
    "dm.loopmetadatasize": ("loop_metadata_size", _size),
    "dm.fs": ("filesystem", _filesystem),
    "dm.thinpooldev": ("pool", _pool),
    "dm.datadev": ("data_device", _device),
    "dm.metadatadev": ("metadata_device", _device),
    "dm.blocksize": ("block_size", _block_size),
    "dm.blkdiscard": ("discard", _bool),
    "dm.use_deferred_removal": ("deferred_removal", _bool),
    "dm.use_deferred_deletion": ("deferred_deletion", _bool),
    "dm.min_free_space": ("min_free", _percent),
}
