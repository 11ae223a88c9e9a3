"""The local driver: plain directories, or with `-o type=… -o device=… -o o=…` something mounted on them while used."""

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from protos import errdefs
from services.dockerd import linux, rootfs

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)
_OPTIONS: Final = ("type", "o", "device", "size")
_REQUIRES: Final = {"type": ("device",), "device": ("type",), "o": ("device", "type")}


def check_name(name: str) -> None:
    """InvalidArgument for a name that could not be a directory's."""
    if len(name) == 1:
        raise errdefs.InvalidArgument(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if not _NAME.fullmatch(name) or len(name) > 255:
        raise errdefs.InvalidArgument(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )


def check_options(name: str, options: Mapping[str, str]) -> None:
    """InvalidArgument for an option the driver has not, or one without those it needs."""
    for option, value in options.items():
        if option not in _OPTIONS:
            raise errdefs.InvalidArgument(f'create {name}: invalid option: "{option}"')
        if option == "size":
            raise errdefs.InvalidArgument(f"create {name}: quota size requested but no quota support")
        for other in _REQUIRES.get(option, ()) if value else ():
            if not options.get(other):
                raise errdefs.InvalidArgument(f'create {name}: missing required option: "{other}"')


def needs_mount(options: Mapping[str, str] | None) -> bool:
    return bool(options and options.get("device"))


def mount(path: Path, options: Mapping[str, str]) -> None:
    """Mount the volume's device; nothing where it is mounted already. May wait for a file server."""
    if linux.is_mount(str(path)):
        return
    kind, device = options.get("type", ""), options.get("device", "")
    flags, data = rootfs.split_options([each for each in options.get("o", "").split(",") if each])
    try:
        if kind.startswith("nfs") or kind == "cifs":
            data = _with_address(data)
        if kind == "bind" or flags & linux.MS_BIND:
            flags |= linux.MS_BIND
        linux.mount(device, str(path), "" if kind in ("none", "bind") else kind, flags, data)
        if flags & linux.MS_BIND and flags & linux.MS_RDONLY:
            linux.mount("", str(path), "", flags | linux.MS_REMOUNT)
    except OSError as error:
        shown = f", flags: 0x{flags:x}" if flags else ""
        shown += f", data: {data}" if data else ""
        raise errdefs.Internal(
            f"error while mounting volume '{path}': failed to mount local volume: mount {device}:{path}{shown}: "
            f"{(error.strerror or str(error)).lower()}"
        ) from error


def unmount(path: Path) -> None:
    """Undo `mount`; a busy one goes once its last user has."""
    while linux.is_mount(str(path)):
        linux.umount2(str(path), linux.MNT_DETACH | linux.UMOUNT_NOFOLLOW)


def _with_address(data: str) -> str:
    """The kernel's NFS and CIFS take `addr=` as a number only."""
    parts = data.split(",")
    for index, part in enumerate(parts):
        key, _, host = part.partition("=")
        if key == "addr" and host:
            parts[index] = f"addr={socket.getaddrinfo(host, None)[0][4][0]}"
    return ",".join(parts)
