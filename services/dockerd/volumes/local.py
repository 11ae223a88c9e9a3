"""The local driver: plain directories, or with `-o type=… -o device=… -o o=…` something mounted on them while used."""

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from protos import errdefs
from services.dockerd import flags as units
from services.dockerd import linux, rootfs

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)
_OPTIONS: Final = ("type", "o", "device", "size")
_REQUIRES: Final = {"type": ("device",), "device": ("type",), "o": ("device", "type")}
_PROPAGATION: Final = {
    "private": linux.MS_PRIVATE, "rprivate": linux.MS_PRIVATE | linux.MS_REC,
    "slave": linux.MS_SLAVE, "rslave": linux.MS_SLAVE | linux.MS_REC,
    "shared": linux.MS_SHARED, "rshared": linux.MS_SHARED | linux.MS_REC,
}


def check_name(name: str) -> None:
    """InvalidArgument for a name that could not be a directory's."""
    if len(name) == 1:
        raise errdefs.InvalidArgument("volume name is too short, names should be at least two alphanumeric characters")
    if not _NAME.fullmatch(name) or len(name) > 255:
        raise errdefs.InvalidArgument(
            f'"{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )


def check_options(options: Mapping[str, str]) -> int:
    """Bytes of `size`, 0 without; InvalidArgument for an option the driver has not, or one without those it needs."""
    for option in options:
        if option not in _OPTIONS:
            raise errdefs.InvalidArgument(f'invalid option: "{option}"')
    for option, value in options.items():
        for other in _REQUIRES.get(option, ()) if value else ():
            if not options.get(other):
                raise errdefs.InvalidArgument(f'missing required option: "{other}"')
    try:
        return units.size(options["size"]) if "size" in options else 0
    except ValueError as error:
        raise errdefs.InvalidArgument(str(error)) from error


def needs_mount(options: Mapping[str, str] | None) -> bool:
    return bool(options and options.get("device"))


def mount(path: Path, options: Mapping[str, str]) -> None:
    """Mount the volume's device; nothing where it is mounted already. May wait for a file server for ever."""
    if linux.is_mount(str(path)):
        return
    kind, device, words = options.get("type", ""), options.get("device", ""), options.get("o", "")
    if kind.startswith("nfs") or kind == "cifs":
        device, words = _numbered(kind, device, words)
    listed = [each for each in words.split(",") if each]
    flags, data = rootfs.split_options(each for each in listed if each not in _PROPAGATION)
    if kind == "bind":
        flags |= linux.MS_BIND
    try:
        linux.mount(device, str(path), "" if kind in ("none", "bind") else kind, flags, data)
        _adjust(path, flags, listed)
    except OSError as error:
        if linux.is_mount(str(path)):
            unmount(path)
        shown = f", flags: 0x{flags:x}" if flags else ""
        shown += f", data: {_masked(data)}" if data else ""
        raise errdefs.Internal(
            f"failed to mount local volume: mount {device}:{path}{shown}: {(error.strerror or str(error)).lower()}"
        ) from error


def _adjust(path: Path, flags: int, listed: list[str]) -> None:
    """What a bind takes only once it is mounted."""
    if flags & linux.MS_BIND and flags & linux.MS_RDONLY:
        linux.mount("", str(path), "", flags | linux.MS_REMOUNT)
    for each in listed:
        if each in _PROPAGATION:
            linux.mount("", str(path), "", _PROPAGATION[each])


def unmount(path: Path) -> None:
    """Undo `mount`; a busy one goes once its last user has."""
    while linux.is_mount(str(path)):
        linux.umount2(str(path), linux.MNT_DETACH | linux.UMOUNT_NOFOLLOW)


def _numbered(kind: str, device: str, words: str) -> tuple[str, str]:
    """The kernel takes a server by number only: that of `addr=`, for CIFS also that of the device."""
    listed = words.split(",")
    for index, word in enumerate(listed):
        key, _, host = word.partition("=")
        if key == "addr" and host:
            listed[index] = f"addr={_address(host)}"
            return device, ",".join(listed)
    url = urlsplit(device)
    if kind == "cifs" and url.hostname:
        device = _with_host(url, _address(url.hostname))
    return device, words


def _with_host(url: SplitResult, address: str) -> str:
    return url._replace(netloc=f"[{address}]" if ":" in address else address).geturl()


def _address(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None)[0][4][0])
    except OSError as error:
        raise errdefs.Internal(
            f"error resolving passed in network volume address: lookup {host}: {error.strerror or error}"
        ) from error


def _masked(data: str) -> str:
    return ",".join("password=********" if each.startswith("password=") else each for each in data.split(","))
