"""Devices a container sees and may use: `--device`, `--device-cgroup-rule`, `--privileged`."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from protos import errdefs
from services.dockerd.oci import cdi
from services.dockerd.oci.defaults import DEVICE_RULES
from services.dockerd.schema.container import DeviceMapping, HostConfig

Device = dict[str, Any]

_SKIPPED: Final = ("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev")
"""Directories of /dev that a privileged container does not get."""
_PERMISSIONS: Final = re.compile(r"[rwm]{1,3}")
_RULE: Final = re.compile(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})")


def build(host: HostConfig) -> tuple[list[Device], list[Device]]:
    """`linux.devices` and `linux.resources.devices`."""
    if host.Privileged:
        devices = list(host_devices(Path("/dev")))
        for mapping in host.Devices or ():
            if mapping.PathInContainer not in ("", mapping.PathOnHost):
                devices += _mapped(mapping)
        return devices, [{"allow": True, "access": "rwm"}]
    devices, rules = [], list(DEVICE_RULES)
    for mapping in host.Devices or ():
        for device in _mapped(mapping):
            devices.append(device)
            rules.append({
                "allow": True, "type": device["type"], "major": device["major"], "minor": device["minor"],
                "access": mapping.CgroupPermissions or "rwm",
            })
    return devices, [*rules, *(cgroup_rule(rule) for rule in host.DeviceCgroupRules or ())]


def verify(host: HostConfig) -> None:
    """Refuse malformed rules at create; missing devices are found at start, as in Docker."""
    for rule in host.DeviceCgroupRules or ():
        cgroup_rule(rule)
    for mapping in host.Devices or ():
        if mapping.CgroupPermissions and not _PERMISSIONS.fullmatch(mapping.CgroupPermissions):
            raise errdefs.InvalidArgument(f"invalid device mode: {mapping.CgroupPermissions}")


def requested(host: HostConfig) -> list[str]:
    """Full names of the devices that are described by CDI."""
    requests = [request for request in host.DeviceRequests or () if request.Driver == cdi.DRIVER]
    return [name for request in requests for name in request.DeviceIDs or ()]


def cgroup_rule(rule: str) -> Device:
    """One `--device-cgroup-rule`; `a` stands for everything."""
    if rule in ("a", "a *:* rwm"):
        return {"allow": True, "type": "a", "major": -1, "minor": -1, "access": "rwm"}
    match = _RULE.fullmatch(rule)
    if match is None or match[1] == "a":
        raise errdefs.InvalidArgument(f"invalid device cgroup rule format: '{rule}'")
    major, minor = (-1 if part == "*" else int(part) for part in match.group(2, 3))
    for name, number, bits in (("major", major, 11), ("minor", minor, 19)):
        if number >= 1 << bits:
            raise errdefs.InvalidArgument(f"invalid {name} value in device cgroup rule format: '{rule}'")
    return {"allow": True, "type": match[1], "major": major, "minor": minor, "access": match[4]}


def host_devices(directory: Path) -> Iterator[Device]:
    """All devices beneath /dev but terminals' and the console."""
    for entry in sorted(os.scandir(directory), key=lambda each: each.name):
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _SKIPPED:
                yield from host_devices(Path(entry.path))
        elif entry.path != "/dev/console":
            device = _describe(entry.path, entry.path, entry.stat(follow_symlinks=False))
            if device:
                yield device


def _mapped(mapping: DeviceMapping) -> Sequence[Device]:
    """The device, or all devices of the directory, that a `--device` names."""
    source, target = mapping.PathOnHost, mapping.PathInContainer or mapping.PathOnHost
    failure = f'error gathering device information while adding custom device "{source}": '
    try:
        real = os.path.realpath(source, strict=True)
        if Path(real).is_dir():
            found = [
                {**device, "path": target + device["path"].removeprefix(real)} for device in host_devices(Path(real))
            ]
        else:
            described = _describe(real, target, os.stat(real))
            found = [described] if described else []
    except OSError as error:
        text = (error.strerror or str(error)).lower()
        raise errdefs.InvalidArgument(failure + text) from error
    if not found:
        raise errdefs.InvalidArgument(failure + "not a device node")
    return found


def _describe(path: str, target: str, status: os.stat_result) -> Device | None:
    kind = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    return {
        "path": target, "type": kind, "major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid,
    }
