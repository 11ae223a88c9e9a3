"""`--gpus` by nvidia's hook, as in Docker: before the start it reads from the environment what the container is to get.

Only where the hook is in PATH; otherwise there is no such driver. GPUs by CDI: cdi.py.
"""

import os
from typing import Any, Final

from protos import errdefs
from services.dockerd import programs
from services.dockerd.schema.container import DeviceRequest, HostConfig

Document = dict[str, Any]

DRIVER: Final = "nvidia"
HOOK: Final = "nvidia-container-runtime-hook"
_KINDS: Final = frozenset(("compat32", "compute", "display", "graphics", "utility", "video"))
"""What of the driver a container may ask for."""
_ABILITIES: Final = _KINDS | {"gpu", "nvidia"}


def serves(request: DeviceRequest) -> bool:
    """Whether the hook is there and can give what is asked for."""
    if request.Driver not in ("", DRIVER) or not programs.which(HOOK):
        return False
    return request.Driver == DRIVER or _selected(request) is not None


def check(request: DeviceRequest) -> None:
    if request.Count and request.DeviceIDs:
        raise errdefs.InvalidArgument("cannot set both Count and DeviceIDs on device request")


def inject(document: Document, host: HostConfig) -> Document:
    """The OCI document with the hook and its variables, where a request is for it."""
    for request in host.DeviceRequests or ():
        if serves(request):
            document = _with_hook(document, request)
    return document


def _selected(request: DeviceRequest) -> list[str] | None:
    """The first set of capabilities that can be given whole; each set is an alternative."""
    return next((each for each in request.Capabilities or () if _ABILITIES.issuperset(each)), None)


def _with_hook(document: Document, request: DeviceRequest) -> Document:
    process, hooks = document["process"], document.get("hooks") or {}
    variables = [f"NVIDIA_VISIBLE_DEVICES={_devices(request)}"]
    if kinds := [each for each in _selected(request) or () if each in _KINDS]:
        variables.append(f"NVIDIA_DRIVER_CAPABILITIES={','.join(kinds)}")
    environment = [f"{name}={value}" for name, value in os.environ.items()]
    hook = {"path": programs.which(HOOK), "args": [HOOK, "prestart"], "env": environment}
    return {
        **document,
        "process": {**process, "env": [*process["env"], *variables]},
        "hooks": {**hooks, "prestart": [*hooks.get("prestart", ()), hook]},
    }


def _devices(request: DeviceRequest) -> str:
    if request.DeviceIDs:
        return ",".join(request.DeviceIDs)
    if request.Count < 0:
        return "all"
    return ",".join(map(str, range(request.Count))) or "void"
