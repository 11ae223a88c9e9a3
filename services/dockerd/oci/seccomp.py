"""System call filters: a profile in Docker's form, evaluated for capabilities, architecture and kernel into OCI's.

seccomp.json is the current default profile of moby, as data. Each (profile, capability set) is evaluated once.
"""

import functools
import json
import platform
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from protos import errdefs
from services.dockerd.oci import abi
from services.dockerd.oci.facts import facts

Rules = dict[str, Any]

_GO_NAMES: Final = {
    "x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x",
    "riscv64": "riscv64", "loongarch64": "loong64", "i686": "x86",
}
_SECCOMP_NAMES: Final = {
    "amd64": "SCMP_ARCH_X86_64", "x86": "SCMP_ARCH_X86", "arm64": "SCMP_ARCH_AARCH64", "arm": "SCMP_ARCH_ARM",
    "ppc64le": "SCMP_ARCH_PPC64LE", "s390x": "SCMP_ARCH_S390X", "riscv64": "SCMP_ARCH_RISCV64",
    "loong64": "SCMP_ARCH_LOONGARCH64",
}


def read(profile: str) -> str:
    """What `--seccomp-profile` names: its own text for the names that are no paths. InvalidArgument for a bad file."""
    if profile in ("", "builtin", "unconfined"):
        return profile
    try:
        text = Path(profile).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = f"open {profile}: {(error.strerror or '').lower()}" if isinstance(error, OSError) else "it is no text"
        raise errdefs.InvalidArgument(f"opening seccomp profile ({profile}) failed: {reason}") from error
    try:
        evaluate(text, ())
    except errdefs.InvalidArgument as error:
        raise errdefs.InvalidArgument(f"seccomp profile ({profile}): {error}") from error
    return text


def choose(profile: str, daemon_profile: str, capabilities: Sequence[str], *, privileged: bool) -> Rules | None:
    """`linux.seccomp` for a container; None runs it without a filter.

    A privileged container is filtered only by a profile of its own.
    """
    chosen = profile or ("unconfined" if privileged else daemon_profile) or "builtin"
    if chosen == "unconfined":
        return None
    if not facts().seccomp:
        if profile and profile != "builtin":
            raise errdefs.InvalidArgument("seccomp is not enabled in your kernel, cannot run a custom seccomp profile")
        return None
    return evaluate("" if chosen == "builtin" else chosen, tuple(sorted(capabilities)))


@functools.lru_cache(maxsize=64)
def evaluate(profile: str, capabilities: tuple[str, ...]) -> Rules:
    """The rules of a profile's JSON text ("" is the default profile) that hold for these capabilities here."""
    document = _load(profile)
    architecture = _GO_NAMES.get(platform.machine(), platform.machine())
    rules: Rules = {"defaultAction": document.get("defaultAction", ""), "syscalls": []}
    if document.get("defaultErrnoRet") is not None:
        rules["defaultErrnoRet"] = document["defaultErrnoRet"]
    architectures = _architectures(document, architecture)
    if architectures:
        rules["architectures"] = architectures
    for key in ("flags", "listenerPath", "listenerMetadata"):
        if document.get(key):
            rules[key] = document[key]
    for call in document.get("syscalls") or ():
        if _holds(call, architecture, capabilities):
            rules["syscalls"].append(_rule(call))
    return rules


def _load(profile: str) -> Rules:
    text = profile or (files("services.dockerd.oci") / "seccomp.json").read_text()
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise errdefs.InvalidArgument(f"Decoding seccomp profile failed: {error}") from error
    calls = document.get("syscalls") or [] if isinstance(document, dict) else None
    if not isinstance(calls, list) or not all(isinstance(each, dict) for each in calls):
        raise errdefs.InvalidArgument("Decoding seccomp profile failed: not a profile")
    if document.get("architectures") and document.get("archMap"):
        raise errdefs.InvalidArgument(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either one"
        )
    return dict(document)


def _architectures(document: Rules, architecture: str) -> list[str]:
    if document.get("architectures"):
        return list(document["architectures"])
    native = _SECCOMP_NAMES.get(architecture)
    for entry in document.get("archMap") or ():
        if entry.get("architecture") == native:
            return [entry["architecture"], *(each for each in entry.get("subArchitectures") or () if abi.runs(each))]
    return []


def _holds(call: Rules, architecture: str, capabilities: Sequence[str]) -> bool:
    """Whether a rule's `includes` all hold and none of its `excludes` does."""
    wants, refuses = call.get("includes") or {}, call.get("excludes") or {}
    if refuses.get("arches") and architecture in refuses["arches"]:
        return False
    if any(name in capabilities for name in refuses.get("caps") or ()):
        return False
    if refuses.get("minKernel") and _kernel_at_least(refuses["minKernel"]):
        return False
    if wants.get("arches") and architecture not in wants["arches"]:
        return False
    if not all(name in capabilities for name in wants.get("caps") or ()):
        return False
    return not wants.get("minKernel") or _kernel_at_least(wants["minKernel"])


def _kernel_at_least(version: str) -> bool:
    try:
        major, minor = (int(part) for part in version.split("."))
    except ValueError as error:
        raise errdefs.InvalidArgument(f"invalid kernel version in seccomp profile: {version!r}") from error
    return facts().kernel >= (major, minor)


def _rule(call: Rules) -> Rules:
    if call.get("name") and call.get("names"):
        raise errdefs.InvalidArgument("both 'name' and 'names' are specified in the seccomp profile, use either one")
    rule: Rules = {"names": list(call.get("names") or [call.get("name", "")]), "action": call.get("action", "")}
    if call.get("errnoRet") is not None:
        rule["errnoRet"] = call["errnoRet"]
    if call.get("args"):
        rule["args"] = call["args"]
    return rule
