"""Devices by the Container Device Interface: `--device vendor.com/class=name`, as files in JSON or YAML describe them.

https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md, up to version 0.8. The files are read
anew for each start that asks for devices; a later directory goes before earlier ones, and within one a device that two
files describe is nobody's.
"""

import json
import logging
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protos import errdefs

log = logging.getLogger("cdi")

Document = dict[str, Any]

DRIVER: Final = "cdi"
"""Of the DeviceRequest that clients make of such a `--device`."""
DIRECTORIES: Final = ("/etc/cdi", "/var/run/cdi")
_KIND: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*/[A-Za-z][A-Za-z0-9_.-]*")
_VERSIONS: Final = ("0.3.", "0.4.", "0.5.", "0.6.", "0.7.", "0.8.")
_HOOKS: Final = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
_NODES: Final = {stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p"}


@dataclass(frozen=True, slots=True)
class Device:
    edits: Mapping[str, Any]
    common: Mapping[str, Any]
    """What its file asks for once, for all of its devices."""
    file: Path


def discover(directories: Sequence[str]) -> tuple[dict[str, Device], list[str]]:
    """Every device by its full name, and what is wrong with files or names."""
    found: dict[str, Device] = {}
    problems: list[str] = []
    for directory in directories:
        own: dict[str, Device] = {}
        twice = set()
        for path in _files(directory):
            try:
                described = dict(_devices(path))
            except (OSError, ValueError, KeyError, TypeError) as error:
                problems.append(f"{path}: {error}")
                continue
            twice |= own.keys() & described.keys()
            own |= described
        problems += [f"conflicting device {name} in {directory}" for name in sorted(twice)]
        found = {name: device for name, device in (found | own).items() if name not in twice}
    return found, problems


def inject(document: Document, names: Sequence[str], directories: Sequence[str]) -> Document:
    """The OCI document with these devices. InvalidArgument with Docker's text for a name that nothing describes."""
    devices, problems = discover(directories)
    for problem in problems:
        log.warning("device description left out problem=%s", problem)
    if missing := [name for name in names if name not in devices]:
        because = f" ({'; '.join(problems)})" if problems else ""
        raise errdefs.InvalidArgument(
            f"CDI device injection failed: unresolvable CDI devices {', '.join(missing)}{because}")
    made = {**document, "process": dict(document["process"]), "linux": dict(document["linux"])}
    done = set()
    for name in names:
        device = devices[name]
        if device.file not in done:
            _edit(made, device.common)
            done.add(device.file)
        _edit(made, device.edits)
    return made


def _files(directory: str) -> list[Path]:
    return sorted(path for path in Path(directory).glob("*") if path.suffix in (".json", ".yaml", ".yml"))


def _devices(path: Path) -> Iterator[tuple[str, Device]]:
    text = path.read_text()
    if path.suffix == ".json":
        document = json.loads(text)
    else:
        import yaml  # for few

        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error
    if not isinstance(document, dict):
        raise ValueError("it is no object")
    if not str(document["cdiVersion"]).removeprefix("v").startswith(_VERSIONS):
        raise ValueError(f"cdiVersion {document['cdiVersion']} is not known")
    if not _KIND.fullmatch(document["kind"]):
        raise ValueError(f"invalid kind {document['kind']!r}")
    for device in document["devices"]:
        yield f"{document['kind']}={device['name']}", Device(
            device.get("containerEdits") or {}, document.get("containerEdits") or {}, path)


def _edit(document: Document, edits: Mapping[str, Any]) -> None:
    """Apply one `containerEdits`; lists of the document are replaced, never changed."""
    process, linux = document["process"], document["linux"]
    for entry in edits.get("env") or ():
        name = entry.partition("=")[0] + "="
        process["env"] = [*(each for each in process.get("env", ()) if not each.startswith(name)), entry]
    for node in edits.get("deviceNodes") or ():
        _add_node(linux, node, process["user"])
    for mount in edits.get("mounts") or ():
        _add_mount(document, mount)
    for hook in edits.get("hooks") or ():
        _add_hook(document, hook)
    groups = [each for each in edits.get("additionalGids") or () if each]
    if groups:
        user = process["user"]
        kept = user.get("additionalGids", ())
        process["user"] = {**user, "additionalGids": list(dict.fromkeys((*kept, *groups)))}
    if edits.get("intelRdt"):
        linux["intelRdt"] = {key: value for key, value in edits["intelRdt"].items() if value}


def _add_node(linux: Document, node: Mapping[str, Any], user: Mapping[str, Any]) -> None:
    device = _described(node)
    for key in ("uid", "gid"):
        owner = node.get(key, user[key] or None)
        if owner is not None:
            device[key] = owner
    linux["devices"] = [*(each for each in linux["devices"] if each["path"] != device["path"]), device]
    if device["type"] in ("b", "c"):
        rule = {name: device[name] for name in ("type", "major", "minor")}
        resources = linux["resources"]
        access = node.get("permissions") or "rwm"
        allowed = [*resources["devices"], {"allow": True, **rule, "access": access}]
        linux["resources"] = {**resources, "devices": allowed}


def _described(node: Mapping[str, Any]) -> Document:
    """The node as OCI wants it; what its file does not say is the host's."""
    device: Document = {"path": node["path"], "type": node.get("type"), "major": node.get("major", 0),
                        "minor": node.get("minor", 0)}
    if node.get("fileMode") is not None:
        device["fileMode"] = node["fileMode"]
    if device["type"] and (device["major"] or device["type"] == "p"):
        return device
    path = node.get("hostPath") or node["path"]
    try:
        facts = os.stat(path)
    except OSError as error:
        raise errdefs.InvalidArgument(
            f"CDI device injection failed: failed to stat CDI host device {path}: {(error.strerror or '').lower()}"
        ) from error
    kind = _NODES.get(stat.S_IFMT(facts.st_mode))
    if kind is None or (device["type"] and device["type"] != kind):
        raise errdefs.InvalidArgument(f"CDI device injection failed: {path} is not the device that is described")
    device |= {"type": kind, "major": os.major(facts.st_rdev), "minor": os.minor(facts.st_rdev)}
    device.setdefault("fileMode", stat.S_IMODE(facts.st_mode))
    return device


def _add_mount(document: Document, mount: Mapping[str, Any]) -> None:
    """In the place of one that has its destination; those deeper down come later."""
    made = {
        "destination": mount["containerPath"], "type": mount.get("type") or "bind", "source": mount["hostPath"],
        "options": list(mount.get("options") or ["rbind", "rprivate"]),
    }
    kept = [each for each in document["mounts"] if each["destination"] != made["destination"]]
    document["mounts"] = sorted([*kept, made], key=lambda each: each["destination"].rstrip("/").count("/"))


def _add_hook(document: Document, hook: Mapping[str, Any]) -> None:
    name = hook["hookName"]
    if name not in _HOOKS:
        raise errdefs.InvalidArgument(f"CDI device injection failed: unknown hook name {name!r}")
    made = {key: hook[key] for key in ("path", "args", "env", "timeout") if hook.get(key)}
    hooks = document.get("hooks") or {}
    document["hooks"] = {**hooks, name: [*hooks.get(name, ()), made]}
