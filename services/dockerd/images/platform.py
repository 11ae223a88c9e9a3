"""Platforms: `os/architecture[/variant]`, their normal spelling, and which of an index's serves a wish best. Pure.

The spellings and the order of choice are containerd's.
"""

import json
import platform as machine
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from protos.errdefs import InvalidArgument
from services.dockerd.images.manifest import Descriptor

_PART: Final = re.compile(r"[A-Za-z0-9_.-]+")
_SYSTEMS: Final = frozenset(("android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "solaris", "windows"))
_SPELLINGS: Final = {
    "i386": ("386", ""), "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"), "armel": ("arm", "v6"), "armv7l": ("arm", "v7"), "i686": ("386", ""),
}
_ARCHITECTURES: Final = frozenset((
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64",
    "s390x", "wasm",
))


@dataclass(frozen=True, slots=True)
class Platform:
    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def normal(os: str, architecture: str, variant: str = "") -> Platform:
    """The one spelling of a platform."""
    os, architecture, variant = os.lower(), architecture.lower(), variant.lower()
    os = {"macos": "darwin"}.get(os, os)
    architecture, implied = _SPELLINGS.get(architecture, (architecture, ""))
    variant = variant or implied
    if architecture == "arm":
        variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
    elif architecture == "arm64":
        variant = "" if variant in ("8", "v8") else variant
    elif architecture == "amd64":
        variant = "" if variant == "v1" else variant
    return Platform(os, architecture, variant)


@cache
def default() -> Platform:
    """This machine's."""
    return normal("linux", machine.machine())


def parse(text: str) -> Platform:
    """What `--platform` says; one part alone is a system or an architecture."""
    parts = text.split("/")
    if not 1 <= len(parts) <= 3 or not all(_PART.fullmatch(part) for part in parts):
        raise InvalidArgument(f'"{text}": cannot parse platform specifier: invalid argument')
    if len(parts) == 1:
        if parts[0].lower() in _SYSTEMS:
            return Platform(normal(parts[0], "").os, default().architecture, default().variant)
        alone = normal("linux", parts[0])
        if alone.architecture not in _ARCHITECTURES:
            raise InvalidArgument(f'"{text}": unknown operating system or architecture: invalid argument')
        return alone
    return normal(*parts)


def from_json(text: str) -> Platform | None:
    """A platform as the newer routes take it, a JSON object; nothing for nothing."""
    if not text:
        return None
    try:
        found = of(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"failed to parse platform: {error}") from error
    if found is None:
        raise InvalidArgument("failed to parse platform: it needs an os and an architecture")
    return found


def of(document: Any) -> Platform | None:
    """The platform of an index's entry or a config; None where it names none."""
    if not isinstance(document, dict) or not document.get("os") or not document.get("architecture"):
        return None
    return normal(str(document["os"]), str(document["architecture"]), str(document.get("variant") or ""))


def vector(wanted: Platform) -> list[Platform]:
    """What may serve a wish, the best first: older variants of the same, and 32 bits on 64."""
    os, architecture, variant = wanted.os, wanted.architecture, wanted.variant
    level = int(variant[1:]) if re.fullmatch(r"v[0-9]", variant) else 0
    if architecture == "amd64":
        lower = [normal(os, architecture, f"v{each}") for each in range(level - 1, 0, -1)]
        return [wanted, *lower, Platform(os, "386")]
    if architecture == "arm":
        return [wanted, *(Platform(os, "arm", f"v{each}") for each in range(level - 1, 4, -1))]
    if architecture == "arm64":
        return [wanted, *([Platform(os, "arm64")] if variant else []), *vector(Platform(os, "arm", "v8"))]
    return [wanted]


def choose(entries: tuple[tuple[Descriptor, dict[str, Any]], ...], wanted: Platform | None = None) -> Descriptor | None:
    """The manifest of an index that serves a wish (or this machine) best; else one that names no platform."""
    for acceptable in vector(wanted or default()):
        for entry, document in entries:
            if of(document) == acceptable:
                return entry
    return next((entry for entry, document in entries if not document), None)
